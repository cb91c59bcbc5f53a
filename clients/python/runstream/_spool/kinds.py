"""Logs what is not one value or a list: several metrics at once, rows, artifacts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from time import time_ns
from typing import Any

from runstream._spool.artifacts import Content, size_of, staged
from runstream._spool.format import DOUBLE
from runstream._spool.names import Refused
from runstream._spool.places import group_folder
from runstream._spool.queue import SpoolQueue, text_of
from runstream._spool.records import Scalar
from runstream._spool.rows import Table, convert_row, convert_table
from runstream._spool.tables import Rows
from runstream._spool.values import convert, convert_step
from runstream._spool.writer import SpoolWriter
from runstream.exceptions import UserErrorException

NO_STEP = "a step is not an integer of 64 bits, and the value is stored without it"


class OtherKinds(SpoolQueue):
    """A part of `RunSpool`, by the same rules."""

    def log_many(self, values: Mapping[str, object], step: object = None) -> None:
        """Logs one value of each of several metrics at one time, in one write.

        Raises:
            UserErrorException: A value is a list, or a name no text; then nothing is logged.
        """
        time = time_ns() // 1000
        stored: list[tuple[str, int, Scalar]] = []
        for name, value in values.items():
            if type(value) is float and type(name) is str:
                stored.append((name, DOUBLE, value))
            else:
                stored.append((name, *self._convert_value(name, value)))
        if not stored:
            return
        at = None if step is None else self._convert_step(stored[0][0], step)

        def add(writer: SpoolWriter) -> None:
            for name, refused in writer.add_many(stored, time, at):
                self._lose({name: 1}, refused)

        self._append({name: 1 for name, _, _ in stored}, time, add)

    def log_row(self, name: str, columns: Mapping[str, object], description: object = "") -> None:
        """Logs one row: a value per column.

        Raises:
            AzureMLException: There is no column, or a value is a container.
            UserErrorException: The name is no text.
        """
        self._log_rows(name, convert_row, columns, description)

    def log_table(self, name: str, columns: object, description: object = "") -> None:
        """Logs rows, given as columns of equal length.

        Raises:
            AzureMLException: It is no table, or has columns of different lengths, or a container in one.
            UserErrorException: The name is no text.
        """
        self._log_rows(name, convert_table, columns, description)

    def log_artifact(self, name: str, kind: int, path: str, content: Content, description: object = "") -> None:
        """Logs bytes that become the artifact `path` of the run. They are kept on this machine until they are uploaded.

        Raises:
            UserErrorException: The name is no text.
        """
        time = time_ns() // 1000
        check_name(name)
        try:
            text = text_of(description)
            self._check_file(size_of(content))
            with staged(group_folder(self._address), content) as file:
                self._append({name: 1}, time, _artifact_adder(file, name, kind, path, time, text))
        except Exception as error:  # noqa: BLE001  (nothing here may stop a training)
            self._lose({name: 1}, error)

    def refuse(self, name: str, reason: str, message: str) -> None:
        """Notes that a value cannot be stored: in a warning, on the run, and for the next flush to raise.

        Raises:
            UserErrorException: The name is no text.
        """
        check_name(name)

        def add(_: SpoolWriter) -> None:
            raise Refused(reason, message)

        self._append({name: 1}, time_ns() // 1000, add)

    def _log_rows(self, name: str, convert: Callable[[Any], Table], columns: Any, description: object) -> None:
        time = time_ns() // 1000
        check_name(name)
        table = convert(columns)
        for note in table.notes:
            self._note(name, note)
        for rows in table.pieces:
            self._append({name: rows.row_count}, time, _rows_adder(name, rows, time), description)

    def _convert_value(self, name: str, value: object) -> tuple[int, Scalar]:
        check_name(name)
        kind, stored, note = convert(value)
        if note:
            self._note(name, note)
        return kind, stored

    def _note(self, name: str, note: str) -> None:
        self._reports.add_note(name, note)

    def _convert_step(self, name: str, step: object) -> int | None:
        try:
            return convert_step(step)
        except UserErrorException:
            self._reports.add_note(name, NO_STEP)
            return None


def check_name(name: object) -> None:
    """Sees that a name is a text.

    Raises:
        UserErrorException: It is something else.
    """
    if not isinstance(name, str):
        raise UserErrorException(f"A name is a text, not {name!r}.")


def _rows_adder(name: str, rows: Rows, time: int) -> Callable[[SpoolWriter], None]:
    return lambda writer: writer.add_rows(name, rows, time)


def _artifact_adder(
    file: Path, name: str, kind: int, path: str, time: int, description: str
) -> Callable[[SpoolWriter], None]:
    return lambda writer: writer.add_artifact(file, name, kind, path, time, description)
