"""Where readers get the text of log files from: Postgres, or the bucket where it is sealed."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.logs.errors import LogExpired
from runstream_server.logs.model import Block, LogFile, Mark
from runstream_server.logs.pages import Page
from runstream_server.logs.sealing.reading import SegmentReader
from runstream_server.logs.store import LogStore

PAGE_BYTES = 256 * 1024
"""How much a reader holds, about: a page ends with the chunk or frame that fills it, which may have 1 MiB."""

_DECODED_ON_THE_LOOP_BYTES = 16 * 1024
_BEYOND_ALL_FILES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read."""

    page_bytes: int = PAGE_BYTES

    with_marks: bool = False
    """Whether marks of segments are wanted."""

    with_lines: bool = True
    """Whether it is wanted how many line feeds are before; of chunks they are counted."""

    in_one_go: bool = False
    """Whether a reader goes on soon, to the end: then one request brings all pages of a segment."""


USUAL = Reading()


class LogSource:
    """The one place that knows where text is.

    What is sealed leaves Postgres only after it can be read from the bucket: who looks there next misses nothing.
    """

    def __init__(self, store: LogStore, segments: SegmentReader) -> None:
        self._store = store
        self._segments = segments

    async def pages(self, file: LogFile, start: int, end: int, reading: Reading = USUAL) -> AsyncGenerator[Page, None]:
        """Yields the pages that have the durable bytes of a file from `start` to before `end`, in order.

        Raises:
            LogExpired: The text was removed meanwhile.
            StoredBytesDamaged: Bytes are missing.
            ObjectMissing: An object is not there.
            BucketUnavailable: The bucket does not answer.
        """
        sealed_bytes = file.sealed_bytes
        while start < end:
            before = start
            pages = self._sealed if start < sealed_bytes else self._hot
            async with aclosing(pages(file, start, end, reading)) as found:
                async for page in found:
                    yield page
                    start = page.end_offset
            if start == before:
                sealed_bytes = await self._sealed_since(file, start, sealed_bytes)

    def _sealed(self, file: LogFile, start: int, end: int, reading: Reading) -> AsyncGenerator[Page, None]:
        return self._segments.pages(
            file, start, end, reading.page_bytes, with_marks=reading.with_marks, in_one_go=reading.in_one_go
        )

    async def _hot(self, file: LogFile, start: int, end: int, reading: Reading) -> AsyncGenerator[Page, None]:
        line_feeds = None if reading.with_lines else 0
        while start < end:
            chunks = await self._store.read(file, start, end, reading.page_bytes)
            if not chunks or not chunks[0].start_offset <= start < chunks[0].end_offset:
                return
            if line_feeds is None:
                line_feeds = await self._store.line_feeds_before(file, chunks[0].start_offset)
                if line_feeds is None:
                    return
            yield Page(chunks, line_feeds, [chunk.mark for chunk in chunks])
            start = chunks[-1].end_offset
            line_feeds += sum(chunk.line_feeds or 0 for chunk in chunks)

    async def new_page(self, file: LogFile, start: int, reading: Reading) -> Page | None:
        """The first page that has the byte at `start` and is not sealed, whether or not the file had it before."""
        async with aclosing(self._hot(file, start, _BEYOND_ALL_FILES, reading)) as pages:
            return await anext(pages, None)

    async def _sealed_since(self, file: LogFile, start: int, known: int) -> int:
        """How much is sealed now, as the byte at `start` is not where it was."""
        now = await self._store.find(file.run, [file.path])
        if now is None or now.expire_time is not None:
            raise LogExpired(file.run, file.path)
        if start < known or now.sealed_bytes <= start:
            raise _missing(file, start)
        return now.sealed_bytes

    async def blocks(
        self, file: LogFile, start: int, end: int, reading: Reading = USUAL
    ) -> AsyncGenerator[Block, None]:
        """Yields the text of `pages`, the first of which may begin before `start` and the last one end after `end`.

        Raises:
            StoredBytesDamaged: Bytes are missing, or not what was stored.
        """
        async with aclosing(self.pages(file, start, end, reading)) as pages:
            async for page in pages:
                yield await decoded(page)

    async def marks(self, file: LogFile, start: int, end: int) -> Sequence[Mark]:
        """When the bytes from `start` to before `end` were written, as far as that can be told, in order."""
        marks: list[Mark] = []
        while start < end and (found := await self._segments.marks_at(file, start)):
            marks.extend(found)
            start = found[-1].end_offset
        if start < end:
            marks.extend(await self._store.marks(file, start, end))
        return marks

    async def line_count(self, file: LogFile) -> int:
        """How many lines a file has, one that is not finished among them."""
        end = file.size_bytes
        async with aclosing(self.blocks(file, max(end - 1, 0), end)) as blocks:
            async for block in blocks:
                text = block.data[: end - block.offset]
                return block.line_feeds_before + text.count(b"\n") + (not text.endswith(b"\n"))
        return 0

    async def offset_after_line_feed(self, file: LogFile, number: int) -> int:
        """Where the line after a line feed begins, counted from 1; the end of the file if it has fewer."""
        if number <= 0:
            return 0
        start = await self._start_of_looking(file, number)
        async with aclosing(self.blocks(file, start, file.size_bytes)) as blocks:
            async for block in blocks:
                found = await asyncio.to_thread(_after_line_feed, block, number)
                if found is not None:
                    return min(found, file.size_bytes)
        return file.size_bytes

    async def _start_of_looking(self, file: LogFile, number: int) -> int:
        """Where the frame or chunk begins that has a line feed; the end of the file if none has it.

        Text is sealed while we look: what is no longer in Postgres then is in a segment.
        """
        place = await self._segments.place_of_line_feed(file, number)
        if place is None:
            chunk = await self._store.chunk_of_line_feed(file, number)
            if chunk is not None:
                return chunk
            place = await self._segments.place_of_line_feed(file, number)
        return place.offset if place is not None else file.size_bytes


async def decoded(page: Page) -> Block:
    """The text of a page, much of it in a thread."""
    if page.end_offset - page.start_offset <= _DECODED_ON_THE_LOOP_BYTES:
        return page.decode()
    return await asyncio.to_thread(page.decode)


def _missing(file: LogFile, offset: int) -> StoredBytesDamaged:
    return StoredBytesDamaged(f"bytes at {offset} of {file.path} of {file.run} are missing")


def _after_line_feed(block: Block, number: int) -> int | None:
    """The offset after a line feed, counted from 1 in the whole file, if the block has it."""
    places = np.flatnonzero(np.frombuffer(block.data, np.uint8) == ord("\n"))
    index = number - block.line_feeds_before - 1
    return block.offset + int(places[index]) + 1 if 0 <= index < len(places) else None
