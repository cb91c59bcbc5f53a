"""Seals one run: its values become one Parquet object in the bucket, and leave Postgres."""

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from runstream_server.metrics.helpings import helpings
from runstream_server.metrics.latest_store import LatestStore
from runstream_server.metrics.model import Span, StoredChunk
from runstream_server.metrics.sealing.model import SealedObject, SealTask
from runstream_server.metrics.sealing.object_store import SealedObjectStore
from runstream_server.metrics.sealing.task_store import SealTaskStore
from runstream_server.metrics.sealing.telemetry import SEALED_BYTES, SEALED_RUNS, SEALING_SECONDS
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.store import MetricStore
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket
from runstream_server.sealing import ClaimLostError, Lease, Pace

if TYPE_CHECKING:
    from runstream_server.metrics.sealing.object_writer import ObjectWriter

logger = logging.getLogger(__name__)

_BYTES_PER_QUIET_TIME = 8 * 1024 * 1024
_LONGEST_QUIET_SECONDS = 3_600.0
_REMEMBERED_SERIES = 1_000


class Sealer:
    """Seals runs. A crash at any point leaves every value readable, and nothing that is not cleared away later."""

    def __init__(
        self,
        tasks: SealTaskStore,
        objects: SealedObjectStore,
        store: MetricStore,
        latest: LatestStore,
        source: ChunkSource,
        bucket: Bucket,
        pace: Pace,
        *,
        quiet_seconds: float,
        grace_seconds: float,
    ) -> None:
        self._tasks = tasks
        self._objects = objects
        self._store = store
        self._latest = latest
        self._source = source
        self._bucket = bucket
        self._pace = pace
        self._quiet_seconds = quiet_seconds
        self._grace_seconds = grace_seconds

    async def work(self, task: SealTask) -> None:
        """Seals the run of a task if its writers are finished or quiet; else puts it off.

        Raises:
            ClaimLostError: Somebody else is at it.
            StoredBytesDamaged: A value is not what was stored, or the object is not what was written.
            BucketUnavailable: The bucket does not answer.
        """
        positions, finished = await self._tasks.writer_positions(task.run)
        wait = await self._missing_quiet_seconds(task, sum(positions.values()), finished)
        if wait > 0:
            await self._tasks.wait(task, sum(positions.values()), wait)
            return
        if await self._objects.unsealed_count(task.run):
            await self._seal(task)
        await self._clear(task.run)
        await self._tasks.cool(task.run, positions)
        await self._tasks.finish(task)

    async def _missing_quiet_seconds(self, task: SealTask, position: int, finished: bool) -> float:
        """For how long the writers still have to be quiet.

        To seal a run again is to make its whole object anew: the larger it is, the longer that waits for more.
        """
        current = await self._objects.current(task.run)
        if current is None and finished:
            return 0.0
        size_bytes = current.size_bytes if current else 0
        needed = min(self._quiet_seconds * (1 + size_bytes / _BYTES_PER_QUIET_TIME), _LONGEST_QUIET_SECONDS)
        return needed - task.quiet_seconds if position == task.seen_position else needed

    async def _seal(self, task: SealTask) -> None:
        begun = perf_counter()
        generation = await self._objects.begin(task.run)
        try:
            stored = await self._write(task, generation)
            if not await self._objects.swap(task, stored, self._grace_seconds):
                raise ClaimLostError(str(task.run))
        except Exception:
            await self._objects.expire(task.run, generation)
            raise
        finally:
            SEALING_SECONDS.inc(perf_counter() - begun)
        SEALED_RUNS.inc()
        SEALED_BYTES.inc(stored.size_bytes)
        logger.info("run sealed", extra={"run": str(task.run), "key": stored.key, "size_bytes": stored.size_bytes})

    async def _write(self, task: SealTask, generation: int) -> SealedObject:
        module = await asyncio.to_thread(importlib.import_module, "runstream_server.metrics.sealing.object_writer")
        lease = Lease(str(task.run), lambda: self._tasks.renew(task, generation), self._pace)
        writer: ObjectWriter = module.ObjectWriter(self._bucket, self._objects, task.run, generation, lease)
        stored = await writer.write(self._values(task.run))
        for some in helpings(writer.latest, lambda _: 1, _REMEMBERED_SERIES):
            await self._latest.remember(task.run.workspace, some)
        return stored

    async def _values(self, run: RunName) -> AsyncIterator[Sequence[StoredChunk]]:
        """All values of a run, in order of series and index, some MiB at a time."""
        async for page in self._store.all_series(run.workspace, [run.run], ()):
            async for chunks in self._source.read([Span(series, 0, series.count) for series in page if series.count]):
                yield chunks

    async def _clear(self, run: RunName) -> None:
        """Removes from Postgres what is sealed, bit by bit."""
        more = True
        while more:
            async with self._pace.work():
                more = await self._objects.delete_sealed_chunks(run)
