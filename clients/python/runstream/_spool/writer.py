"""Appends records to one spool."""

import itertools
import uuid
from collections.abc import Iterable
from pathlib import Path

from runstream._spool.artifacts import Artifact, KeptFiles, artifact_record
from runstream._spool.events import Refusal
from runstream._spool.format import (
    DEFINE,
    DEFINE_TABLE,
    DESCRIBE,
    MAX_DROPPED_METRICS,
    Drops,
    Header,
)
from runstream._spool.names import MetricNames, Refused
from runstream._spool.places import SPOOL_SUFFIX, files_of
from runstream._spool.records import (
    Column,
    EndOfRun,
    Scalar,
    double_record,
    double_stepped_record,
    end_record,
    finish_record,
    follow_record,
    list_record,
    mark_record,
    refused_record,
    text_record,
    value_record,
)
from runstream._spool.room import SpoolFull
from runstream._spool.spool_file import SpoolFile
from runstream._spool.tables import Rows, rows_record
from runstream._spool.tokens import note_token
from runstream._spool.values import cut

MAX_DESCRIPTION_CHARACTERS = 5_000
MAX_ROW_BYTES = 640 * 1024
"""Of one record of rows, so that a batch can hold it."""


class SpoolWriter:
    """The spool of this process for one run. Not thread-safe: `RunSpool` holds the lock.

    Each record is whole in the hands of the system when a method returns, so a kill of this process loses nothing. When
    a method raises, the spool is as it was before. The file is locked as long as this process lives, which is how the
    uplink knows that it does.
    """

    def __init__(self, group: Path, run: str, address: str, after: "SpoolWriter | None" = None) -> None:
        """Makes the spool, `after` another one of this process that it goes on for.

        Raises:
            OSError: The folder cannot be written, or the disk is full.
            ValueError: The names are too long.
        """
        self.path = group / f"{uuid.uuid4().hex}{SPOOL_SUFFIX}"
        self.kept = KeptFiles(files_of(self.path))
        """The files of the artifacts."""
        self._names = MetricNames()
        self._ids = self._names.values
        self._described: set[str] = set()
        self._next_id = itertools.count()
        self._next_mark = itertools.count(1)
        self._dropped = 0
        self._dropped_metrics: set[str] = set()
        self._follows: list[bytes] = []
        self.first: str = after.first if after else self.path.stem
        """The writer of the first spool of this process."""
        before = after.path.stem if after else ""
        header = Header(run, self.path.stem, address, before, self.first, note_token(group, address, run))
        self._file = SpoolFile(self.path, header)
        self._write = self._file.append

    @property
    def position(self) -> int:
        """How many bytes the spool has."""
        return self._file.position

    @property
    def is_there(self) -> bool:
        """Whether the file still has a name: once it was removed, nobody reads it any more."""
        return self._file.is_there

    def add_double(self, metric: str, value: float, time: int, step: int | None) -> None:
        """Appends one floating-point number, logged at `time` in microseconds since the Unix epoch.

        Raises:
            Refused: The name of the metric cannot be stored.
            OSError: The record could not be written.
        """
        id_ = self._ids.get(metric)
        if id_ is None:
            id_ = self._define(metric)
        if step is None:
            self._write(double_record(id_, time, value))
        else:
            self._write(double_stepped_record(id_, time, step, value))

    def add_value(self, metric: str, kind: int, value: Scalar, time: int, step: int | None) -> None:
        """As `add_double` for a value of any kind."""
        self._write(value_record(kind, self._id(metric), time, step, value))

    def add_list(self, metric: str, kind: int, column: Column, time: int) -> None:
        """As `add_double` for several values; none at all make a metric that exists and is empty."""
        self._write(list_record(kind, self._id(metric), time, column))

    def add_many(
        self, values: Iterable[tuple[str, int, Scalar]], time: int, step: int | None
    ) -> list[tuple[str, Refused]]:
        """As `add_double` for one value of each of several metrics: all of them are written, or none is.

        Returns those whose names cannot be stored, which are left out.
        """
        records, refused = [], []
        for metric, kind, value in values:
            try:
                records.append(_record(kind, self._id(metric), time, step, value))
            except Refused as reason:
                refused.append((metric, reason))
        self._write(b"".join(records))
        return refused

    def add_rows(self, metric: str, rows: Rows, time: int) -> None:
        """As `add_double` for consecutive rows; none at all make a table that exists and is empty."""
        id_ = self._names.rows.get(metric)
        if id_ is None:
            id_ = self._define_table(metric)
        self._names.check_columns(rows)
        record = rows_record(id_, time, rows)
        if len(record) > MAX_ROW_BYTES:
            raise Refused(
                "ROW_TOO_LARGE", f"a row takes {MAX_ROW_BYTES // 1024} KiB at most; log fewer or shorter texts"
            )
        self._write(record)

    def add_artifact(self, file: Path, metric: str, kind: int, path: str, time: int, description: str) -> None:
        """Takes a file over and appends that it is logged as a metric.

        Raises:
            Refused: The name of the metric cannot be stored.
            OSError: The record could not be written.
        """
        if metric not in self._names.artifacts:
            self._names.check_new(metric)
        number = self.kept.put(file)
        try:
            self._write(artifact_record(Artifact(number, metric, kind, path, time, _description(description))))
        except BaseException:
            self.kept.take_back()
            raise
        self._names.artifacts.add(metric)

    def describe(self, metric: str, description: str) -> None:
        """Appends what a metric means, the first time that it is said."""
        if metric not in self._described:
            id_ = self._names.rows.get(metric)
            if id_ is None:
                id_ = self._id(metric)
            self._write(text_record(DESCRIBE, id_, _description(description).encode()))
            self._described.add(metric)

    def refuse(self, refusal: Refusal) -> None:
        """Appends that values were refused, so that the run says so."""
        self._write(refused_record(refusal))

    def end_run(self, end: EndOfRun) -> None:
        """Appends how the run is to end."""
        self._write(end_record(end))

    def follow(self, type_: int, log: str, local: Path) -> None:
        """Appends that the uplink is to follow a file or folder."""
        record = follow_record(type_, log, str(local))
        self._write(record)
        self._follows.append(record)

    def mark(self) -> int:
        """Appends a mark and returns its number."""
        number = next(self._next_mark)
        self._write(mark_record(number))
        return number

    def hold_back(self) -> None:
        """Lets nothing be written until `resume`: what would be written raises `SpoolFull`."""
        self._write = _refuse_to_write

    def resume(self) -> None:
        """Undoes `hold_back`."""
        self._write = self._file.append

    @property
    def is_held_back(self) -> bool:
        """Whether nothing may be written."""
        return self._write == _refuse_to_write

    def take_follows(self, earlier: "SpoolWriter") -> None:
        """Appends what an earlier spool of this process had the uplink follow.

        Raises:
            OSError: It could not be written.
        """
        for record in earlier._follows:
            self._write(record)
            self._follows.append(record)

    def finish(self, *, goes_on: bool = False) -> None:
        """Appends that nothing follows here, nor anywhere unless it `goes_on` in another spool, and closes the file."""
        try:
            self._file.append(finish_record(goes_on=goes_on))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Closes the file without a word: in a child process, where it belongs to the parent."""
        self._file.close()

    def discard(self) -> None:
        """Removes a spool that nothing was written to."""
        self._file.discard()

    def drop(self, count: int, error_number: int, metrics: Iterable[str]) -> None:
        """Counts values that could not be written, in a place of the file that needs no further room."""
        self._dropped += count
        if len(self._dropped_metrics) < MAX_DROPPED_METRICS:
            self._dropped_metrics.update(metrics)
        metric_count = min(len(self._dropped_metrics), MAX_DROPPED_METRICS)
        self._file.note_drops(Drops(self._dropped, error_number, metric_count))

    def _id(self, metric: str) -> int:
        id_ = self._ids.get(metric)
        return self._define(metric) if id_ is None else id_

    def _define(self, metric: str) -> int:
        text = self._names.check_new(metric)
        id_ = next(self._next_id)
        self._write(text_record(DEFINE, id_, text))
        self._ids[metric] = id_
        return id_

    def _define_table(self, metric: str) -> int:
        text = self._names.check_new(metric)
        id_ = next(self._next_id)
        self._write(text_record(DEFINE_TABLE, id_, text))
        self._names.rows[metric] = id_
        return id_


def _refuse_to_write(record: bytes) -> None:
    raise SpoolFull


def _record(kind: int, id_: int, time: int, step: int | None, value: Scalar) -> bytes:
    """A record of one value, by the shortest way for what is most often logged."""
    if not isinstance(value, float):
        return value_record(kind, id_, time, step, value)
    return double_record(id_, time, value) if step is None else double_stepped_record(id_, time, step, value)


def _description(text: str) -> str:
    return cut(text.encode("utf-8", "backslashreplace").decode(), MAX_DESCRIPTION_CHARACTERS)
