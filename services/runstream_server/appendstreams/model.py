"""The words of append streams."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from runstream_server.errors import InvalidField
from runstream_server.names import RunName

Payload = TypeVar("Payload")

ANY_EPOCH = 0
"""The epoch of an append that came without a stream; openings are counted from 1."""

_WRITER = re.compile(r"[A-Za-z0-9_\-]{1,64}")


class AppendKey(NamedTuple):
    """What a stream appends to. Rows are locked in this order."""

    workspace: str
    run: str

    name: str
    """The writer of metrics, or the path of a log."""

    @property
    def run_name(self) -> RunName:
        """The run appended to."""
        return RunName(self.workspace, self.run)


@dataclass(frozen=True, slots=True)
class Opening:
    """A stream that was opened in the database."""

    key: AppendKey

    epoch: int
    """Counts the openings of the writer; only the latest one may append."""

    durable: int
    """The position: how many batches, or bytes, are durable."""


class Piece(NamedTuple, Generic[Payload]):
    """What one message appends, before it is made ready to be stored."""

    start: int
    """The position before it."""

    end: int
    """The position after it."""

    size_bytes: int
    payload: Payload


def check_size(piece: Piece[Any], max_bytes: int) -> None:
    """Raises InvalidField if a message is too large."""
    if piece.size_bytes > max_bytes:
        raise InvalidField("message", f"at most {max_bytes} bytes, got {piece.size_bytes}")


def decode_writer(writer: str, field: str = "open.writer") -> str:
    """Returns the id of a writer; raises InvalidField if it is none."""
    if not _WRITER.fullmatch(writer):
        raise InvalidField(field, f"expected 1 to 64 letters, digits, - and _; got {writer[:80]!r}")
    return writer


class Finish:
    """A message which says that the writer is done."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Values of one series that are not stored."""

    sequence: int
    metric: str
    reason: str
    message: str
    count: int


class Prepared(NamedTuple, Generic[Payload]):
    """A piece that is ready to be stored."""

    payload: Payload

    size_bytes: int
    """How much memory it takes, about."""

    refusals: Sequence[Refusal] = ()


class Append(NamedTuple, Generic[Payload]):
    """One piece of one stream, ready to be committed; without a payload the writer is done."""

    key: AppendKey
    epoch: int
    start: int
    end: int

    size_bytes: int
    """How much memory it takes, about."""

    payload: Payload | None
    refusals: Sequence[Refusal] = ()


class Committed(NamedTuple):
    """Everything of a stream up to `durable` is committed."""

    durable: int
    refusals: Sequence[Refusal] = ()


Outcome: TypeAlias = Committed | Exception
"""What became of an append. An exception ends its stream."""


@dataclass(slots=True)
class Position:
    """The locked row of a writer."""

    durable: int
    epoch: int


class Notice(Enum):
    """Something a client should know or do."""

    CANCEL_REQUESTED = "cancel requested"
    DRAINING = "draining"
    THROTTLED = "throttled"
