"""Writes a segment into the bucket, and reads it back to be sure of it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from zlib import crc32

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.logs.model import LogFile, Mark
from runstream_server.logs.pages import Page
from runstream_server.logs.sealing.model import Frame, FramePlace, Segment, TimesPlace, segment_key
from runstream_server.logs.sealing.segment_format import (
    FRAME_BYTES,
    decode_frame,
    encode_frame,
    encode_index,
    encode_times,
)
from runstream_server.objectstore import Bucket
from runstream_server.sealing import Lease

_PART_BYTES = 8 * 1024 * 1024
_READ_FRAMES = 16


class SegmentWriter:
    """Writes one segment; to be used once."""

    def __init__(self, bucket: Bucket, file: LogFile, number: int, lease: Lease) -> None:
        self._bucket = bucket
        self._file = file
        self._number = number
        self._lease = lease
        self._key = segment_key(file.run, number)
        self._text = bytearray()
        self._stored = bytearray()
        self._stored_bytes = 0
        self._frames: list[Frame] = []
        self._text_crcs: list[int] = []
        self._marks: list[Mark] = []

    async def write(self, pages: AsyncGenerator[Page, None], most_bytes: int, most_marks: int) -> Segment:
        """Writes the text of pages, which begin where the file is sealed up to, and verifies the object.

        Takes pages until it has about so many bytes or marks.

        Raises:
            ClaimLostError: Somebody else is at it.
            StoredBytesDamaged: Text is not what was stored, or the object is not what was written.
            BucketUnavailable: The bucket does not answer.
        """
        upload = self._bucket.upload(self._key)
        taken = 0
        async with aclosing(pages):
            async for page in pages:
                async with self._lease.step():
                    await asyncio.to_thread(self._add, page)
                    if len(self._stored) >= _PART_BYTES:
                        await upload.write(self._taken())
                taken += page.end_offset - page.start_offset
                if taken >= most_bytes or len(self._marks) >= most_marks:
                    break
        segment = await asyncio.to_thread(self._close)
        await upload.write(self._taken())
        await upload.finish()
        await self._verify(segment)
        return segment

    def _add(self, page: Page) -> None:
        self._text += page.decode().data
        self._marks.extend(page.marks)
        while len(self._text) >= FRAME_BYTES:
            self._add_frame(bytes(self._text[:FRAME_BYTES]))
            del self._text[:FRAME_BYTES]

    def _add_frame(self, text: bytes) -> None:
        stored, frame = encode_frame(text)
        self._stored += stored
        self._stored_bytes += len(stored)
        self._frames.append(frame)
        self._text_crcs.append(crc32(text))

    def _close(self) -> Segment:
        """Makes the last frames."""
        if self._text:
            self._add_frame(bytes(self._text))
        times = encode_times(self._marks)
        segment = Segment(
            self._file.run,
            self._file.number,
            self._number,
            self._file.sealed_bytes,
            self._file.sealed_line_feeds,
            self._frames,
            TimesPlace(self._stored_bytes, len(times), crc32(times)),
        )
        self._stored += times + encode_index(segment, self._file.path)
        return segment

    def _taken(self) -> bytes:
        taken = bytes(self._stored)
        self._stored.clear()
        return taken

    async def _verify(self, segment: Segment) -> None:
        """Reads all of it; raises StoredBytesDamaged if anything is not what was written."""
        places = list(segment.places())
        for first in range(0, len(places), _READ_FRAMES):
            group = places[first : first + _READ_FRAMES]
            async with self._lease.step():
                start, end = group[0].position, group[-1].position + group[-1].frame.stored_bytes
                data = await self._read(start, end)
                crcs = await asyncio.to_thread(_text_crcs, group, data, self._key)
            if crcs != self._text_crcs[first : first + _READ_FRAMES]:
                raise StoredBytesDamaged(f"{self._key} does not hold what was written to it")
        times = segment.times
        if crc32(await self._read(times.start, times.start + times.stored_bytes)) != times.crc:
            raise StoredBytesDamaged(f"{self._key} does not hold the times that were written to it")

    async def _read(self, start: int, end: int) -> bytes:
        async with self._bucket.read(self._key, start=start, end=end) as pieces:
            return b"".join([piece async for piece in pieces])


def _text_crcs(places: Sequence[FramePlace], data: bytes, key: str) -> list[int]:
    view = memoryview(data)
    at = [place.position - places[0].position for place in places]
    parts = [view[start : start + place.frame.stored_bytes] for start, place in zip(at, places, strict=True)]
    return [crc32(decode_frame(part, place.frame, key)) for part, place in zip(parts, places, strict=True)]
