"""The words of sealing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from runstream_server.names import RunName


class Frame(NamedTuple):
    """One frame of a segment, which can be decompressed by itself."""

    stored_bytes: int
    """How long it is in the object."""

    size_bytes: int
    """How much text it holds."""

    line_feeds: int

    crc: int
    """The CRC-32 of its bytes in the object."""


@dataclass(frozen=True, slots=True)
class TimesPlace:
    """Where a segment says when its bytes were written."""

    start: int
    stored_bytes: int
    crc: int


@dataclass(frozen=True, slots=True)
class Segment:
    """An object with consecutive bytes of a file."""

    run: RunName
    file: int
    number: int
    start_offset: int

    start_line_feeds: int
    """How many there are before it in the file."""

    frames: Sequence[Frame]
    times: TimesPlace

    @property
    def key(self) -> str:
        """Its key in the bucket."""
        return segment_key(self.run, self.number)

    @property
    def size_bytes(self) -> int:
        """How much text it holds."""
        return sum(frame.size_bytes for frame in self.frames)

    @property
    def line_feeds(self) -> int:
        """How many it has."""
        return sum(frame.line_feeds for frame in self.frames)

    @property
    def end_offset(self) -> int:
        """The offset in the file after its last byte."""
        return self.start_offset + self.size_bytes

    def places(self) -> "Iterator[FramePlace]":
        """Its frames and where they are, in order."""
        position, offset, line_feeds = 0, self.start_offset, self.start_line_feeds
        for frame in self.frames:
            yield FramePlace(frame, position, offset, line_feeds)
            position, offset = position + frame.stored_bytes, offset + frame.size_bytes
            line_feeds += frame.line_feeds


class FramePlace(NamedTuple):
    """Where a frame is."""

    frame: Frame

    position: int
    """In the object."""

    offset: int
    """Of its first byte of text in the file."""

    line_feeds_before: int
    """In the file."""

    @property
    def end_position(self) -> int:
        """The place in the object after its last byte."""
        return self.position + self.frame.stored_bytes

    @property
    def end_offset(self) -> int:
        """The offset in the file after its last byte."""
        return self.offset + self.frame.size_bytes


def segment_key(run: RunName, number: int) -> str:
    """The key of a segment of a run."""
    return f"logs/{run.workspace}/{run.run}/{number}.zst"


@dataclass(frozen=True, slots=True)
class SealTask:
    """A file with text to seal, claimed by one process for a while."""

    run: RunName
    path: str

    whole: bool
    """Whether the run has ended: all is to be sealed, not only what fills a segment."""

    claim: int
    failures: int
