"""The words of logs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TypeAlias

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
    write_time: datetime
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


@dataclass(frozen=True, slots=True)
class StoredText:
    """A chunk and its place."""

    start_offset: int
    size_bytes: int
    content: bytes

    @property
    def end_offset(self) -> int:
        """The offset after the last byte."""
        return self.start_offset + self.size_bytes


@dataclass(frozen=True, slots=True)
class TextSlice:
    """Consecutive bytes of a file."""

    offset: int
    data: bytes

    @property
    def end_offset(self) -> int:
        """The offset after the last byte."""
        return self.offset + len(self.data)


class TailEnd(Enum):
    """Why a tail ends."""

    FINISHED = "finished"
    RUN_ENDED = "run ended"


@dataclass(frozen=True, slots=True)
class TailMessage:
    """What a tail tells: bytes, that nothing happened, or that it ends."""

    text: TextSlice
    ended: TailEnd | None = None


def hint_keys(run: RunName, paths: Sequence[str]) -> Sequence[str]:
    """The keys under which changes of files are hinted at."""
    return [f"{run.workspace}/{run.run}/{path}" for path in paths]
