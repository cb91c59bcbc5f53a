"""Text as it is stored, before it is decoded: some chunks from Postgres, or some frames of a segment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.logs.model import Block, Mark


class Part(Protocol):
    """Consecutive bytes that can be decoded by themselves."""

    @property
    def start_offset(self) -> int:
        """Where the first byte stands in the file."""

    @property
    def end_offset(self) -> int:
        """The offset after the last byte."""

    @property
    def line_feeds(self) -> int | None:
        """How many they have; None: they have to be counted."""

    def decode(self) -> bytes:
        """The bytes; raises StoredBytesDamaged if they are not what was stored."""


@dataclass(frozen=True, slots=True)
class Page:
    """Parts that follow each other without gap."""

    parts: Sequence[Part]

    line_feeds_before: int
    """How many line feeds the file has before them."""

    marks: Sequence[Mark]
    """When the bytes were written; of those of a segment if that was asked for."""

    @property
    def start_offset(self) -> int:
        """Where the first byte stands in the file."""
        return self.parts[0].start_offset

    @property
    def end_offset(self) -> int:
        """The offset after the last byte."""
        return self.parts[-1].end_offset

    def decode(self) -> Block:
        """The text; raises StoredBytesDamaged if it is not what was stored. Not for the event loop if it is much."""
        for before, after in zip(self.parts, self.parts[1:], strict=False):
            if before.end_offset != after.start_offset:
                raise StoredBytesDamaged(f"bytes at {before.end_offset} are missing")
        data = self.parts[0].decode() if len(self.parts) == 1 else b"".join([part.decode() for part in self.parts])
        return Block(self.start_offset, data, self.line_feeds_before, self.marks)
