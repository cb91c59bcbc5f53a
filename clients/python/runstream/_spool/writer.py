"""Appends records to one spool."""

import contextlib
import errno
import itertools
import os
import uuid
from collections.abc import Collection, Iterable
from pathlib import Path

from runstream._spool.artifacts import Artifact, artifact_record
from runstream._spool.events import Refusal
from runstream._spool.format import (
    DEFINE,
    DEFINE_TABLE,
    DESCRIBE,
    DROPS_OFFSET,
    MAX_DROPPED_METRICS,
    Drops,
    Header,
    encode_drops,
    encode_header,
)
from runstream._spool.lock import try_lock
from runstream._spool.places import SPOOL_SUFFIX, files_of, progress_of
from runstream._spool.progress import create_progress
from runstream._spool.records import (
    Column,
    Scalar,
    double_record,
    double_stepped_record,
    finish_record,
    follow_record,
    list_record,
    mark_record,
    refused_record,
    text_record,
    value_record,
)
from runstream._spool.room import SpoolFull
from runstream._spool.tables import MAX_COLUMNS, Rows, rows_record
from runstream._spool.values import cut

MAX_METRIC_CHARACTERS = 255
MAX_DESCRIPTION_CHARACTERS = 5_000
MAX_METRICS = 100_000
"""Names that one writer remembers."""
MAX_ROW_BYTES = 640 * 1024
"""Of one record of rows, so that a batch can hold it."""


class Refused(Exception):
    """Values that no service would store."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


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
        self._ids: dict[str, int] = {}
        self._table_ids: dict[str, int] = {}
        self._artifact_metrics: set[str] = set()
        self._columns: set[str] = set()
        self._artifact_count = 0
        self._described: set[str] = set()
        self._next_id = itertools.count()
        self._next_mark = itertools.count(1)
        self._dropped = 0
        self._dropped_metrics: set[str] = set()
        self._follows: list[bytes] = []
        self._write = self._append
        self.first: str = after.first if after else self.path.stem
        """The writer of the first spool of this process."""
        before = after.path.stem if after else ""
        self._file = _create(self.path, Header(run, self.path.stem, address, before, self.first))

    @property
    def position(self) -> int:
        """How many bytes the spool has."""
        return os.lseek(self._file, 0, os.SEEK_CUR)

    @property
    def dropped(self) -> int:
        """How many values could not be written."""
        return self._dropped

    @property
    def is_there(self) -> bool:
        """Whether the file still has a name: once it was removed, nobody reads it any more."""
        return os.fstat(self._file).st_nlink > 0

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
        id_ = self._table_ids.get(metric)
        if id_ is None:
            id_ = self._define_table(metric)
        self._check_columns(rows)
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
        if metric not in self._artifact_metrics:
            self._check_new(metric)
            self._artifact_metrics.add(metric)
        artifact = Artifact(self._artifact_count + 1, metric, kind, path, time, _description(description))
        place = files_of(self.path) / str(artifact.number)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        file.rename(place)
        self._write(artifact_record(artifact))
        self._artifact_count += 1

    def describe(self, metric: str, description: str) -> None:
        """Appends what a metric means, the first time that it is said."""
        if metric not in self._described:
            id_ = self._table_ids[metric] if metric in self._table_ids else self._id(metric)
            self._write(text_record(DESCRIBE, id_, _description(description).encode()))
            self._described.add(metric)

    def refuse(self, refusal: Refusal) -> None:
        """Appends that values were refused, so that the run says so."""
        self._write(refused_record(refusal))

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
        self._write = self._append

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
            self._append(finish_record(goes_on=goes_on))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Closes the file without a word: in a child process, where it belongs to the parent."""
        os.close(self._file)

    def discard(self) -> None:
        """Removes a spool that nothing was written to."""
        self.path.unlink()
        progress_of(self.path).unlink(missing_ok=True)
        self.abandon()

    def drop(self, count: int, error_number: int, metrics: Iterable[str]) -> None:
        """Counts values that could not be written, in a place of the file that needs no further room."""
        self._dropped += count
        if len(self._dropped_metrics) < MAX_DROPPED_METRICS:
            self._dropped_metrics.update(metrics)
        drops = Drops(self._dropped, error_number, min(len(self._dropped_metrics), MAX_DROPPED_METRICS))
        with contextlib.suppress(OSError):
            os.pwrite(self._file, encode_drops(drops), DROPS_OFFSET)

    def _id(self, metric: str) -> int:
        id_ = self._ids.get(metric)
        return self._define(metric) if id_ is None else id_

    def _define(self, metric: str) -> int:
        text = self._check_new(metric)
        id_ = next(self._next_id)
        self._write(text_record(DEFINE, id_, text))
        self._ids[metric] = id_
        return id_

    def _define_table(self, metric: str) -> int:
        text = self._check_new(metric)
        id_ = next(self._next_id)
        self._write(text_record(DEFINE_TABLE, id_, text))
        self._table_ids[metric] = id_
        return id_

    def _check_new(self, metric: str) -> bytes:
        """Sees that a name can be stored and means nothing else yet."""
        text = _checked_name(metric)
        for kind, known in self._known():
            if metric in known:
                raise Refused("MIXED_KINDS", f"it consists of {kind}, and a metric has one kind; use another name")
        if sum(len(known) for _, known in self._known()) >= MAX_METRICS:
            raise Refused("TOO_MANY_SERIES", f"one process can log {MAX_METRICS:,} metrics to a run")
        return text

    def _known(self) -> tuple[tuple[str, Collection[str]], ...]:
        return ("values", self._ids), ("rows", self._table_ids), ("artifacts", self._artifact_metrics)

    def _check_columns(self, rows: Rows) -> None:
        if len(rows.columns) > MAX_COLUMNS:
            raise Refused("TOO_MANY_COLUMNS", f"a table has {MAX_COLUMNS} columns at most, not {len(rows.columns)}")
        for cells in rows.columns:
            if cells.name not in self._columns:
                _checked_name(cells.name, "the name of a column")
                if len(self._columns) < MAX_METRICS:
                    self._columns.add(cells.name)

    def _append(self, record: bytes) -> None:
        written = os.write(self._file, record)
        if written != len(record):
            self._take_back(written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _take_back(self, count: int) -> None:
        end = self.position - count
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)


def _refuse_to_write(record: bytes) -> None:
    raise SpoolFull


def _record(kind: int, id_: int, time: int, step: int | None, value: Scalar) -> bytes:
    """A record of one value, by the shortest way for what is most often logged."""
    if not isinstance(value, float):
        return value_record(kind, id_, time, step, value)
    return double_record(id_, time, value) if step is None else double_stepped_record(id_, time, step, value)


def _checked_name(name: str, what: str = "a name") -> bytes:
    try:
        text = name.encode()
    except UnicodeEncodeError:
        raise Refused("INVALID_NAME", f"{what} is not valid Unicode") from None
    if not 0 < len(name) <= MAX_METRIC_CHARACTERS or "\0" in name:
        raise Refused("INVALID_NAME", f"{what} has 1 to {MAX_METRIC_CHARACTERS} characters, none of which is NUL")
    return text


def _description(text: str) -> str:
    return cut(text.encode("utf-8", "backslashreplace").decode(), MAX_DESCRIPTION_CHARACTERS)


def _create(path: Path, header: Header) -> int:
    """Makes a spool that is locked and has its header before anybody sees it."""
    first = encode_header(header)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    hidden = path.with_suffix(".new")
    file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try_lock(file)
        if os.write(file, first) != len(first):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        create_progress(progress_of(path))
        hidden.rename(path)
    except BaseException:
        os.close(file)
        hidden.unlink(missing_ok=True)
        progress_of(path).unlink(missing_ok=True)
        raise
    return file
