"""Seals runs in the background, and clears away what sealing left behind."""

import asyncio
import logging
from time import monotonic

from runstream_server.errors import BucketUnavailable, RunstreamError
from runstream_server.metrics.sealing.lease import ClaimLostError
from runstream_server.metrics.sealing.model import SealTask, object_key
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
from runstream_server.sealing.pace import Pace

logger = logging.getLogger(__name__)

_LONGEST_BACKOFF_SECONDS = 60.0
_SHORTEST_LOOK_SECONDS = 0.05
_LONGEST_LOOK_SECONDS = 5.0
_LONGEST_ROUND_SECONDS = 30.0


def sealing_of(platform: Platform, history: RunHistory, store: MetricStore, source: ChunkSource) -> "Sealing":
    """Puts together what seals runs in a process."""
    config = platform.config.maintenance
    pace = Pace(config.share)
    tasks, objects = SealTaskStore(platform.postgres), SealedObjectStore(platform.postgres)
    round_seconds = min(max(config.seal_quiet_seconds / 2, _SHORTEST_LOOK_SECONDS), _LONGEST_ROUND_SECONDS)
    return Sealing(
        SealScan(tasks, history, round_seconds),
        tasks,
        objects,
        Sealer(
            tasks,
            objects,
            store,
            source,
            platform.bucket,
            pace,
            quiet_seconds=config.seal_quiet_seconds,
            grace_seconds=config.seal_grace_seconds,
        ),
        platform.bucket,
        pace,
        look_seconds=min(round_seconds, _LONGEST_LOOK_SECONDS),
    )


class Sealing:
    """Looks for runs that have ended, and seals one at a time. Any number of processes may do so at once."""

    def __init__(
        self,
        scan: SealScan,
        tasks: SealTaskStore,
        objects: SealedObjectStore,
        sealer: Sealer,
        bucket: Bucket,
        pace: Pace,
        *,
        look_seconds: float,
    ) -> None:
        self._scan = scan
        self._pace = pace
        self._tasks = tasks
        self._objects = objects
        self._sealer = sealer
        self._bucket = bucket
        self._look_seconds = look_seconds
        self._backoff_seconds = 0.0
        self._bucket_time = 0.0

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            worked = False
            try:
                await self._scan.look()
                WAITING_RUNS.set(await self._tasks.waiting_count())
                worked = self._bucket_is_worth_a_try() and (await self.seal_one() or await self.remove_one())
            except RunstreamError as error:
                logger.warning("sealing pauses", extra={"reason": error.reason})
            except Exception:
                logger.exception("sealing pauses")
            if not worked:
                await asyncio.sleep(self._look_seconds)

    def _bucket_is_worth_a_try(self) -> bool:
        return monotonic() >= self._bucket_time

    async def seal_one(self) -> bool:
        """Works on one task; returns False if none is due."""
        task = await self._tasks.claim()
        if task is None:
            return False
        try:
            async with self._pace.work():
                await self._sealer.work(task)
            self._backoff_seconds = 0.0
        except ClaimLostError:
            logger.info("somebody else seals the run", extra={"run": str(task.run)})
        except Exception as error:  # noqa: BLE001 - whatever it is, the run is tried again later
            await self._failed(task, error)
        return True

    async def _failed(self, task: SealTask, error: Exception) -> None:
        reason = error.reason if isinstance(error, RunstreamError) else type(error).__name__
        FAILED_SEALS.labels(reason).inc()
        unexpected = None if isinstance(error, RunstreamError) else error
        extra = {"run": str(task.run), "reason": reason, "error": str(error)}
        logger.error("run not sealed", extra=extra, exc_info=unexpected)
        if isinstance(error, BucketUnavailable):
            self._leave_the_bucket_alone()
        await self._tasks.fail(task)

    def _leave_the_bucket_alone(self) -> None:
        self._backoff_seconds = min(max(2 * self._backoff_seconds, 1.0), _LONGEST_BACKOFF_SECONDS)
        self._bucket_time = monotonic() + self._backoff_seconds

    async def remove_one(self) -> bool:
        """Removes one object that was replaced or given up; returns False if there is none."""
        expired = await self._objects.claim_expired()
        if expired is None:
            return False
        try:
            await self._bucket.discard(object_key(*expired))
        except BucketUnavailable:
            self._leave_the_bucket_alone()
            raise
        await self._objects.forget(*expired)
        REMOVED_OBJECTS.inc()
        return True
