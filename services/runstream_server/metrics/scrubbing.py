"""Reads all values again, to find what was lost or changed before somebody needs it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any
from zlib import crc32

from runstream_server.config import Config
from runstream_server.envelope import StoredBytesDamaged, checked
from runstream_server.errors import DataLoss
from runstream_server.metrics.chunks import decode_points
from runstream_server.metrics.overview_format import decode_overviews
from runstream_server.metrics.scrub_store import HotChunk, MetricScrubStore, Place
from runstream_server.metrics.sealing.model import ByteRange, SealedObject
from runstream_server.metrics.sealing.object_store import SealedObjectStore
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket, open_bucket, read_on
from runstream_server.postgres import open_postgres

_RUNS_AT_ONCE = 200
_TOLD = 1_000
_MAGIC = b"PAR1"
_HEAD = ByteRange(0, len(_MAGIC), crc32(_MAGIC))


@dataclass(frozen=True, slots=True)
class MetricDamage:
    """Values that cannot be read any more."""

    run: str
    metric: str
    start_index: int
    end_index: int
    problem: str


@dataclass(slots=True)
class MetricScrub:
    """What was found."""

    series: int = 0
    values: int = 0

    damaged_places: int = 0
    """How many chunks of a series are damaged or missing, sealed or not."""

    damaged: list[MetricDamage] = field(default_factory=list)
    """The first 1,000 of them."""


class MetricScrubber:
    """Reads the values of all runs, sealed or not, and compares them with their checksums."""

    def __init__(self, store: MetricScrubStore, objects: SealedObjectStore, bucket: Bucket) -> None:
        self._store = store
        self._objects = objects
        self._bucket = bucket

    async def scrub(self) -> MetricScrub:
        """Reads every value once that there is then; holds some MiB of them."""
        found = MetricScrub()
        after = ("", "")
        while runs := await self._store.runs_after(after, _RUNS_AT_ONCE):
            after = (runs[-1].workspace, runs[-1].run)
            for run in runs:
                await self._scrub_run(run, found)
        return found

    async def _scrub_run(self, run: RunName, found: MetricScrub) -> None:
        series, values = await self._store.counts(run)
        found.series += series
        found.values += values
        for gap in await self._store.gaps(run):
            _tell(found, run, gap, "the values are in no chunk")
        for damages in (self._hot_damages(run), self._sealed_damages(run)):
            async with aclosing(damages):
                async for place, problem in damages:
                    _tell(found, run, place, problem)

    async def _hot_damages(self, run: RunName) -> AsyncGenerator[tuple[Place, str], None]:
        after = (-1, -1)
        while chunks := await self._store.hot_chunks(run, after):
            after = (chunks[-1].series, chunks[-1].place.start_index)
            for damage in await asyncio.to_thread(_damages_of, chunks):
                yield damage

    async def _sealed_damages(self, run: RunName) -> AsyncGenerator[tuple[Place, str], None]:
        """Reads the object of a run; once more where it was sealed again meanwhile and what was read is gone."""
        stored = await self._objects.current(run)
        while stored is not None:
            damages = [(part, problem) async for part, problem in self._parts(stored)]
            now = await self._objects.current(run)
            if damages and now is not None and now.generation != stored.generation:
                stored = now
                continue
            for group, problem in damages:
                for place in await self._store.sealed_places(stored, group):
                    yield place, problem
            return

    async def _parts(self, stored: SealedObject) -> AsyncGenerator[tuple[int | None, str], None]:
        """Yields the row groups of an object that are damaged, or None for its ends, which whoever reads it needs."""
        for part, what in ((_HEAD, "the head"), (stored.footer, "the footer")):
            if problem := await self._problem(stored, part, what):
                yield None, problem
                return
        for number, group in enumerate(stored.groups):
            if problem := await self._problem(stored, group, f"row group {number}"):
                yield number, problem

    async def _problem(self, stored: SealedObject, part: ByteRange, what: str) -> str:
        """What is wrong with a part of an object; nothing: it is well."""
        try:
            crc = 0
            async with aclosing(read_on(self._bucket, stored.key, part.start, part.end)) as pieces:
                async for piece in pieces:
                    crc = await asyncio.to_thread(crc32, piece, crc)
        except DataLoss as error:
            return error.message
        return "" if crc == part.crc else f"{what} of {stored.key} does not match its checksum"


def _tell(found: MetricScrub, run: RunName, place: Place, problem: str) -> None:
    found.damaged_places += 1
    if len(found.damaged) < _TOLD:
        found.damaged.append(MetricDamage(str(run), place.metric, place.start_index, place.end_index, problem))


def _damages_of(chunks: Sequence[HotChunk]) -> Sequence[tuple[Place, str]]:
    damages = []
    for chunk in chunks:
        try:
            _check(chunk)
        except DataLoss as error:
            damages.append((chunk.place, error.message))
    return damages


def _check(chunk: HotChunk) -> None:
    """Raises StoredBytesDamaged unless a chunk and its overview are what was stored."""
    place = chunk.place
    points = decode_points(checked(chunk.columns, chunk.checksum, "a chunk of values"))
    if points.count != place.end_index - place.start_index:
        raise StoredBytesDamaged(f"a chunk has {points.count} values instead of {place.end_index - place.start_index}")
    if chunk.overview is not None:
        decode_overviews([(chunk.overview, place.start_index)])


async def scrub(config: Config) -> dict[str, Any]:
    """Reads all values again; returns what was found."""
    async with open_postgres(config.postgres) as postgres, open_bucket(config.bucket) as bucket:
        scrubber = MetricScrubber(MetricScrubStore(postgres), SealedObjectStore(postgres), bucket)
        return asdict(await scrubber.scrub())
