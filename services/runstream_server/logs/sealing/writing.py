"""Writes a segment into the bucket, and reads it back to be sure of it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from zlib import crc32

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.logs.chunks import StoredText
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
_COPIED_BYTES = 64 * 1024


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
        self._text_crcs: list[int | None] = []
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
        for part in page.parts:
            stored = part.zstd_frame() if isinstance(part, StoredText) and _is_copied(part) else None
            if isinstance(part, StoredText) and stored is not None:
                self._flush()
                frame = Frame(len(stored), part.size_bytes, part.line_feeds or 0, crc32(stored))
                self._keep(stored, frame, None)
            else:
                self._text += part.decode()
                while len(self._text) >= FRAME_BYTES:
                    self._flush()
        self._marks.extend(page.marks)

    def _flush(self) -> None:
        """Makes a frame of the first text that waits for one."""
        if self._text:
            text = bytes(self._text[:FRAME_BYTES])
            del self._text[:FRAME_BYTES]
            self._keep(*encode_frame(text), crc32(text))

    def _keep(self, stored: bytes, frame: Frame, text_crc: int | None) -> None:
        """Notes a frame; of text that was compressed just now its CRC-32 is compared when it is read back."""
        self._stored += stored
        self._stored_bytes += len(stored)
        self._frames.append(frame)
        self._text_crcs.append(text_crc)

    def _close(self) -> Segment:
        """Makes the last frames."""
        self._flush()
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
                expected = self._text_crcs[first : first + _READ_FRAMES]
                await asyncio.to_thread(_check, group, expected, data, self._key)
        times = segment.times
        if crc32(await self._read(times.start, times.start + times.stored_bytes)) != times.crc:
            raise StoredBytesDamaged(f"{self._key} does not hold the times that were written to it")

    async def _read(self, start: int, end: int) -> bytes:
        async with self._bucket.read(self._key, start=start, end=end) as pieces:
            return b"".join([piece async for piece in pieces])


def _is_copied(chunk: StoredText) -> bool:
    """Whether a chunk is large enough to be a frame of its own, as it is."""
    return chunk.size_bytes >= _COPIED_BYTES and chunk.line_feeds is not None


def _check(places: Sequence[FramePlace], text_crcs: Sequence[int | None], data: bytes, key: str) -> None:
    """Raises StoredBytesDamaged unless frames are what was written."""
    view = memoryview(data)
    for place, text_crc in zip(places, text_crcs, strict=True):
        start = place.position - places[0].position
        stored = view[start : start + place.frame.stored_bytes]
        if crc32(stored) != place.frame.crc:
            raise StoredBytesDamaged(f"{key} does not hold what was written to it")
        if text_crc is not None and crc32(decode_frame(stored, place.frame, key)) != text_crc:
            raise StoredBytesDamaged(f"{key} does not hold the text that was to be written to it")
