"""Reads all logs again, to find what was lost or changed before somebody needs it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

from runstream_server.config import Config
from runstream_server.errors import DataLoss
from runstream_server.logs.errors import LogExpired
from runstream_server.logs.model import LogFile
from runstream_server.logs.pages import Page
from runstream_server.logs.sealing.reading import SegmentReader
from runstream_server.logs.sealing.segment_store import SegmentStore
from runstream_server.logs.source import LogSource, Reading
from runstream_server.logs.store import LogStore
from runstream_server.objectstore import open_bucket
from runstream_server.postgres import open_postgres

_FILES_AT_ONCE = 200
_TOLD = 1_000
_READING = Reading(page_bytes=4 * 1024 * 1024, with_marks=True, with_lines=False, in_one_go=True)


@dataclass(frozen=True, slots=True)
class LogDamage:
    """Bytes of a log that cannot be read any more."""

    run: str
    path: str
    start_offset: int
    end_offset: int
    problem: str


@dataclass(slots=True)
class LogScrub:
    """What was found."""

    files: int = 0
    size_bytes: int = 0

    damaged_places: int = 0
    """How many chunks, frames or whole segments are damaged."""

    damaged: list[LogDamage] = field(default_factory=list)
    """The first 1,000 of them."""


class LogScrubber:
    """Reads the logs of all runs, sealed or not, and compares them with their checksums."""

    def __init__(self, store: LogStore, source: LogSource, segments: SegmentReader) -> None:
        self._store = store
        self._source = source
        self._segments = segments

    async def scrub(self) -> LogScrub:
        """Reads every log once, as long as it is then; holds some MiB of it."""
        found = LogScrub()
        after = ("", "", "")
        while files := await self._store.files_after(after, _FILES_AT_ONCE):
            after = (files[-1].run.workspace, files[-1].run.run, files[-1].path)
            for file in files:
                await self._scrub_file(file, found)
        return found

    async def _scrub_file(self, file: LogFile, found: LogScrub) -> None:
        found.files += 1
        found.size_bytes += file.size_bytes
        last_end = 0
        async with aclosing(self._damages(file)) as damages:
            async for damage in damages:
                last_end = damage.end_offset
                _tell(found, damage)
        async with aclosing(self._damages_of_indexes(file, last_end)) as damages:
            async for damage in damages:
                _tell(found, damage)

    async def _damages(self, file: LogFile) -> AsyncGenerator[LogDamage, None]:
        start = 0
        while start < file.size_bytes:
            try:
                async with aclosing(self._source.pages(file, start, file.size_bytes, _READING)) as pages:
                    async for page in pages:
                        for damage in await asyncio.to_thread(_damages_of, file, page):
                            yield damage
                        start = page.end_offset
            except LogExpired:
                return
            except DataLoss as error:
                if not await self._is_there(file):
                    return
                end = await self._segments.end_of_segment(file, start) or file.size_bytes
                yield LogDamage(str(file.run), file.path, start, end, error.message)
                start = end

    async def _damages_of_indexes(self, file: LogFile, start: int) -> AsyncGenerator[LogDamage, None]:
        """Looks at the ends of the segments of a file from an offset on; damage before it was told already."""
        while start < file.sealed_bytes:
            end = await self._segments.end_of_segment(file, start)
            if end is None:
                return
            try:
                await self._segments.check_index(file, start)
            except DataLoss as error:
                if not await self._is_there(file):
                    return
                yield LogDamage(str(file.run), file.path, start, end, error.message)
            start = end

    async def _is_there(self, file: LogFile) -> bool:
        """Whether a file was not removed meanwhile."""
        now = await self._store.find(file.run, [file.path])
        return now is not None and now.expire_time is None


def _tell(found: LogScrub, damage: LogDamage) -> None:
    found.damaged_places += 1
    if len(found.damaged) < _TOLD:
        found.damaged.append(damage)


def _damages_of(file: LogFile, page: Page) -> Sequence[LogDamage]:
    damages = []
    for part in page.parts:
        try:
            part.decode()
        except DataLoss as error:
            place = (part.start_offset, part.end_offset)
            damages.append(LogDamage(str(file.run), file.path, *place, error.message))
    return damages


async def scrub(config: Config) -> dict[str, Any]:
    """Reads all logs again; returns what was found."""
    async with open_postgres(config.postgres) as postgres, open_bucket(config.bucket) as bucket:
        store, segments = LogStore(postgres), SegmentReader(SegmentStore(postgres), bucket)
        return asdict(await LogScrubber(store, LogSource(store, segments), segments).scrub())
