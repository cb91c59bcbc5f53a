"""Reads text of segments from the bucket."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from zlib import crc32

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.logs.model import LogFile, Mark
from runstream_server.logs.pages import Page
from runstream_server.logs.sealing.model import FramePlace, Segment
from runstream_server.logs.sealing.segment_format import decode_frame, decode_times, encode_index
from runstream_server.logs.sealing.segment_store import SegmentStore
from runstream_server.objectstore import Bucket, in_sizes, read_on
from runstream_server.sealing.lru import ByteLru

_TIMES_CACHE_BYTES = 16 * 1024 * 1024
_FRAME_CACHE_BYTES = 8 * 1024 * 1024
_SEGMENT_CACHE_BYTES = 4 * 1024 * 1024
_FRAME_FACTS_BYTES = 200
"""What is known of a frame takes so much memory, about."""

_MARK_BYTES = 250
"""What a mark takes in memory, about."""


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A frame and its place in the file."""

    place: FramePlace
    content: memoryview
    key: str

    @property
    def start_offset(self) -> int:
        """Where the first byte stands in the file."""
        return self.place.offset

    @property
    def end_offset(self) -> int:
        """The offset after the last byte."""
        return self.place.end_offset

    @property
    def line_feeds(self) -> int:
        """How many it has."""
        return self.place.frame.line_feeds

    def decode(self) -> bytes:
        """Its bytes; raises StoredBytesDamaged if they are not what was stored."""
        return decode_frame(self.content, self.place.frame, self.key)


class SegmentReader:
    """Reads frames, whose checksums are compared when they are decoded.

    Keeps what was read last: for each of some files the segment, and single frames and times of segments.
    """

    def __init__(self, store: SegmentStore, bucket: Bucket) -> None:
        self._store = store
        self._bucket = bucket
        self._segments: ByteLru[int, Segment] = ByteLru(_SEGMENT_CACHE_BYTES)
        self._single: ByteLru[tuple[str, int], bytes] = ByteLru(_FRAME_CACHE_BYTES)
        self._times: ByteLru[str, Sequence[Mark]] = ByteLru(_TIMES_CACHE_BYTES)

    async def pages(
        self, file: LogFile, start: int, end: int, page_bytes: int, *, with_marks: bool, in_one_go: bool
    ) -> AsyncGenerator[Page, None]:
        """Yields the frames of one segment that have bytes from `start` to before `end`, about `page_bytes` at a time.

        Nothing comes if no segment has the first byte. `in_one_go` reads them by one request, page by page if they are
        more than one; it goes on where the connection breaks.

        Raises:
            StoredBytesDamaged: The times are not what was stored.
            ObjectMissing: The object is not there.
            BucketUnavailable: The bucket does not answer.
        """
        segment = await self._at_offset(file, start)
        if segment is None:
            return
        marks = await self.marks(segment) if with_marks else ()
        wanted = [place for place in segment.places() if place.end_offset > start and place.offset < end]
        groups = list(_grouped(wanted, page_bytes))
        read = self._frames_in_one_go if in_one_go and len(groups) > 1 else self._frames_by_page
        async with aclosing(read(segment, groups)) as pages:
            async for frames in pages:
                yield Page(frames, frames[0].place.line_feeds_before, marks)

    async def place_of_line_feed(self, file: LogFile, number: int) -> FramePlace | None:
        """The frame that has a line feed, counted from 1 in the whole file, if a segment has it."""
        segment = self._segments.get(file.number)
        if segment is None or not 0 < number - segment.start_line_feeds <= segment.line_feeds:
            segment = self._kept(await self._store.of_line_feed(file, number))
        if segment is None:
            return None
        for place in segment.places():
            if number <= place.line_feeds_before + place.frame.line_feeds:
                return place
        return None

    async def marks_at(self, file: LogFile, offset: int) -> Sequence[Mark]:
        """When the bytes of the segment with an offset were written; nothing if no segment has it."""
        segment = await self._at_offset(file, offset)
        return await self.marks(segment) if segment is not None else ()

    async def end_of_segment(self, file: LogFile, offset: int) -> int | None:
        """Where the segment ends that has an offset; None if no segment has it."""
        segment = await self._at_offset(file, offset)
        return segment.end_offset if segment is not None else None

    async def check_index(self, file: LogFile, offset: int) -> None:
        """Raises DataLoss if the segment that has an offset does not end with its index; no reader needs that."""
        segment = await self._at_offset(file, offset)
        if segment is not None:
            index, start = encode_index(segment, file.path), segment.times.start + segment.times.stored_bytes
            if await self.read(segment.key, start, start + len(index)) != index:
                raise StoredBytesDamaged(f"the index of {segment.key} is not what was stored")

    async def _at_offset(self, file: LogFile, offset: int) -> Segment | None:
        segment = self._segments.get(file.number)
        if segment is not None and segment.start_offset <= offset < segment.end_offset:
            return segment
        return self._kept(await self._store.at_offset(file, offset))

    def _kept(self, segment: Segment | None) -> Segment | None:
        if segment is not None:
            self._segments.put(segment.file, segment, len(segment.frames) * _FRAME_FACTS_BYTES)
        return segment

    async def marks(self, segment: Segment) -> Sequence[Mark]:
        """When the bytes of a segment were written."""
        marks = self._times.get(segment.key)
        if marks is None:
            times = segment.times
            stored = await self.read(segment.key, times.start, times.start + times.stored_bytes)
            if crc32(stored) != times.crc:
                raise StoredBytesDamaged(f"the times of {segment.key} do not have their checksum")
            marks = await asyncio.to_thread(decode_times, stored)
            self._times.put(segment.key, marks, len(marks) * _MARK_BYTES)
        return marks

    async def _frames_by_page(
        self, segment: Segment, groups: Sequence[Sequence[FramePlace]]
    ) -> AsyncGenerator[Sequence[StoredFrame], None]:
        for places in groups:
            first, last = places[0].position, places[-1].end_position
            content = self._single.get((segment.key, first)) if len(places) == 1 else None
            if content is None:
                content = await self.read(segment.key, first, last)
                if len(places) == 1:
                    self._single.put((segment.key, first), content, len(content))
            yield _stored_frames(segment, places, content)

    async def _frames_in_one_go(
        self, segment: Segment, groups: Sequence[Sequence[FramePlace]]
    ) -> AsyncGenerator[Sequence[StoredFrame], None]:
        first, last = groups[0][0].position, groups[-1][-1].end_position
        sizes = [places[-1].end_position - places[0].position for places in groups]
        async with aclosing(in_sizes(read_on(self._bucket, segment.key, first, last), sizes)) as contents:
            for places in groups:
                yield _stored_frames(segment, places, await anext(contents))

    async def read(self, key: str, start: int, end: int) -> bytes:
        """Bytes of an object."""
        async with aclosing(read_on(self._bucket, key, start, end)) as pieces:
            return b"".join([piece async for piece in pieces])


def _stored_frames(segment: Segment, places: Sequence[FramePlace], content: bytes) -> Sequence[StoredFrame]:
    """Frames of a segment whose bytes follow each other in `content`."""
    data, first = memoryview(content), places[0].position
    return [
        StoredFrame(place, data[place.position - first : place.end_position - first], segment.key) for place in places
    ]


def _grouped(places: Sequence[FramePlace], page_bytes: int) -> Iterator[Sequence[FramePlace]]:
    group: list[FramePlace] = []
    size = stored = 0
    for place in places:
        group.append(place)
        size, stored = size + place.frame.size_bytes, stored + place.frame.stored_bytes
        if size >= page_bytes or stored >= page_bytes // 4:
            yield group
            group, size, stored = [], 0, 0
    if group:
        yield group
