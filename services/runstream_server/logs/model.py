"""The words of logs."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple, TypeAlias

from runstream_server.appendstreams import Append
from runstream_server.names import RunName


@dataclass(frozen=True, slots=True)
class LogText:
    """Bytes of a log as a writer sent them."""

    data: bytes
    write_time: datetime | None
    """When the last byte was written, by the clock of the writer."""


@dataclass(frozen=True, slots=True)
class EncodedText:
    """Bytes of a log, ready to be stored."""

    size_bytes: int
    line_feeds: int
    write_time: datetime
    receive_time: datetime
    content: bytes


LogAppend: TypeAlias = Append[EncodedText]


@dataclass(frozen=True, slots=True)
class LogFile:
    """A log file as the database knows it."""

    run: RunName
    path: str

    number: int
    """Identifies the file in the chunks."""

    writer: str
    size_bytes: int
    finished: bool

    create_time: datetime | None
    """When the first bytes were stored; None: there are none."""

    update_time: datetime | None
    """When the last bytes were stored; None: there are none."""

    sealed_bytes: int
    """Everything before is in segments."""

    sealed_line_feeds: int
    """How many line feeds that has."""

    expire_time: datetime | None
    """When the retention of the workspace removed the text; None: it did not."""

    @property
    def unsealed_bytes(self) -> int:
        """How many bytes are not in segments."""
        return self.size_bytes - self.sealed_bytes


class Mark(NamedTuple):
    """When bytes were written: those after the mark before."""

    end_offset: int

    write_time: datetime
    """Of the last byte, by the clock of the writer."""

    receive_time: datetime


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive bytes of a file as they are stored together."""

    offset: int
    data: bytes

    line_feeds_before: int
    """How many line feeds the file has before."""

    marks: Sequence[Mark]
    """When the bytes were written, if that was asked for."""

    @property
    def end_offset(self) -> int:
        """The offset after the last byte."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class TextSlice:
    """Consecutive bytes of a file for a reader."""

    offset: int
    data: bytes

    line: int = 1
    """The line of the first byte, counted from 1."""

    marks: Sequence[Mark] = ()

    @property
    def end_offset(self) -> int:
        """The offset after the last byte."""
        return self.offset + len(self.data)


def marks_between(marks: Sequence[Mark], start: int, end: int) -> Sequence[Mark]:
    """The marks that tell of the bytes from `start` to before `end`, if there are marks for all."""
    first = bisect_right(marks, start, key=lambda mark: mark.end_offset)
    last = bisect_right(marks, end - 1, key=lambda mark: mark.end_offset)
    return marks[first : last + 1]


@dataclass(frozen=True, slots=True)
class ByteSpan:
    """Bytes from `start` (negative: from the end) to before `end`; 0 is the end of the file."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LineSpan:
    """Lines, counted from 1, up to and including `last`; 0 is the last one there is."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class LastLines:
    """So many lines before the end."""

    count: int


ReadSpan: TypeAlias = ByteSpan | LineSpan | LastLines


@dataclass(frozen=True, slots=True)
class TailBegin:
    """Where a tail begins: where an earlier one stopped, else some lines before the end, at the end, or at byte 0."""

    offset: int | None = None

    path: str = ""
    """The file that the earlier tail followed; empty: it had found none."""

    last_lines: int = 0
    from_now: bool = False


class TailEnd(Enum):
    """Why a tail ends."""

    FINISHED = "finished"
    RUN_ENDED = "run ended"


@dataclass(frozen=True, slots=True)
class TailMessage:
    """What a tail tells: bytes, that nothing happened, or that it ends."""

    text: TextSlice

    path: str
    """The path of the file; empty: it is not there yet."""

    ended: TailEnd | None = None


def hint_keys(run: RunName, paths: Sequence[str]) -> Sequence[str]:
    """The keys under which changes of files are hinted at."""
    return [f"{run.workspace}/{run.run}/{path}" for path in paths]
