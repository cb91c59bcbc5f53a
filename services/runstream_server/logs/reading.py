"""Reads ranges of log files: of bytes, of lines, or the last lines."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from runstream_server.logs.model import ByteSpan, LastLines, LineSpan, LogFile, ReadSpan, TextSlice
from runstream_server.logs.slices import slices
from runstream_server.logs.source import USUAL, LogSource, Reading, decoded


class LogReader:
    """Reads log files as long as they were when they were looked up."""

    def __init__(self, source: LogSource) -> None:
        self._source = source

    async def read(self, file: LogFile, span: ReadSpan, *, with_marks: bool = False) -> AsyncGenerator[TextSlice, None]:
        """Yields the durable text of a part of a file, in order.

        Raises:
            LogExpired: The text was removed meanwhile.
            StoredBytesDamaged: Bytes are missing, or not what was stored.
            ObjectMissing: An object is not there.
            BucketUnavailable: The bucket does not answer.
        """
        start, end = await self.byte_span(file, span)
        async with aclosing(self.read_bytes(file, start, end, Reading(with_marks=with_marks))) as parts:
            async for part in parts:
                yield part

    async def read_bytes(
        self, file: LogFile, start: int, end: int, reading: Reading = USUAL
    ) -> AsyncGenerator[TextSlice, None]:
        """Yields the durable bytes of a file from `start` to before `end`, in order."""
        async with aclosing(self._source.blocks(file, start, end, reading)) as blocks:
            async for block in blocks:
                for part in slices(block, start, end):
                    yield part

    async def read_new(self, file: LogFile, start: int, reading: Reading) -> Sequence[TextSlice]:
        """Returns some bytes from `start` on that are not sealed, whether or not the file had them before; or none."""
        page = await self._source.new_page(file, start, reading)
        return list(slices(await decoded(page), start, page.end_offset)) if page is not None else ()

    async def byte_span(self, file: LogFile, span: ReadSpan) -> tuple[int, int]:
        """Where a part of a file starts and ends."""
        match span:
            case ByteSpan(start, end):
                first = start if start >= 0 else max(file.size_bytes + start, 0)
                return first, min(end or file.size_bytes, file.size_bytes)
            case LineSpan(first, last):
                start = await self._source.offset_after_line_feed(file, first - 1)
                end = await self._source.offset_after_line_feed(file, last) if last else file.size_bytes
                return start, end
            case LastLines(count):
                return await self.start_of_last_lines(file, count), file.size_bytes

    async def start_of_last_lines(self, file: LogFile, count: int) -> int:
        """Where so many lines before the end start."""
        return await self._source.offset_after_line_feed(file, await self._source.line_count(file) - count)
