"""Seals runs in the background, and clears away what sealing left behind."""

from runstream_server.metrics.latest_store import LatestStore
from runstream_server.metrics.sealing.model import object_key
from runstream_server.metrics.sealing.object_store import SealedObjectStore
from runstream_server.metrics.sealing.scanning import SealScan
from runstream_server.metrics.sealing.sealer import Sealer
from runstream_server.metrics.sealing.task_store import SealTaskStore
from runstream_server.metrics.sealing.telemetry import FAILED_SEALS, REMOVED_OBJECTS, WAITING_RUNS
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.store import MetricStore
from runstream_server.objectstore import Bucket
from runstream_server.platform import Platform
from runstream_server.runhistory import RunHistory
from runstream_server.sealing import Pace, SealLoop, attempt
from runstream_server.sealing.loop import round_seconds


def sealing_of(
    platform: Platform, history: RunHistory, store: MetricStore, latest: LatestStore, source: ChunkSource
) -> SealLoop:
    """Puts together what seals runs in a process."""
    config = platform.config.maintenance
    pace = Pace(config.share)
    tasks, objects = SealTaskStore(platform.postgres), SealedObjectStore(platform.postgres)
    sealing = Sealing(
        SealScan(tasks, history, round_seconds(config.seal_quiet_seconds)),
        tasks,
        objects,
        Sealer(
            tasks,
            objects,
            store,
            latest,
            source,
            platform.bucket,
            pace,
            quiet_seconds=config.seal_quiet_seconds,
            grace_seconds=config.seal_grace_seconds,
        ),
        platform.bucket,
        pace,
    )
    return SealLoop(sealing, config.seal_quiet_seconds)


class Sealing:
    """What there is to do about the metrics of runs that have ended."""

    def __init__(
        self,
        scan: SealScan,
        tasks: SealTaskStore,
        objects: SealedObjectStore,
        sealer: Sealer,
        bucket: Bucket,
        pace: Pace,
    ) -> None:
        self._scan = scan
        self._pace = pace
        self._tasks = tasks
        self._objects = objects
        self._sealer = sealer
        self._bucket = bucket

    async def look(self) -> None:
        """Looks for runs that have ended, if it is time."""
        await self._scan.look()
        WAITING_RUNS.set(await self._tasks.waiting_count())

    async def seal_one(self) -> bool:
        """Works on one task; returns False if none is due."""
        task = await self._tasks.claim()
        if task is None:
            return False
        async with attempt(self._pace, {"run": str(task.run)}, lambda: self._tasks.fail(task), FAILED_SEALS):
            await self._sealer.work(task)
        return True

    async def remove_one(self) -> bool:
        """Removes one object that was replaced or given up; returns False if there is none."""
        expired = await self._objects.claim_expired()
        if expired is None:
            return False
        await self._bucket.discard(object_key(*expired))
        await self._objects.forget(*expired)
        REMOVED_OBJECTS.inc()
        return True
