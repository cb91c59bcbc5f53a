"""Seals files in the background, and clears away what sealing and retention left behind."""

from datetime import timedelta

from runstream_server.logs.retention import Retention
from runstream_server.logs.retention_store import RetentionStore
from runstream_server.logs.rounds import Round
from runstream_server.logs.sealing.model import segment_key
from runstream_server.logs.sealing.scanning import FullFiles, SealRounds
from runstream_server.logs.sealing.sealer import Sealer
from runstream_server.logs.sealing.segment_store import SegmentStore
from runstream_server.logs.sealing.task_store import SealTaskStore
from runstream_server.logs.sealing.telemetry import FAILED_SEALS, REMOVED_SEGMENTS, WAITING_FILES
from runstream_server.logs.source import LogSource
from runstream_server.logs.store import LogStore
from runstream_server.objectstore import Bucket
from runstream_server.platform import Platform
from runstream_server.runhistory import RunHistory
from runstream_server.sealing import Pace, SealLoop, attempt
from runstream_server.sealing.loop import round_seconds


def sealing_of(
    platform: Platform, history: RunHistory, store: LogStore, source: LogSource, full: FullFiles
) -> SealLoop:
    """Puts together what seals files in a process."""
    config = platform.config.maintenance
    pace = Pace(config.share)
    tasks, segments = SealTaskStore(platform.postgres), SegmentStore(platform.postgres)
    seal_bytes, quiet_seconds = config.log_seal_bytes, config.seal_quiet_seconds
    rounds = SealRounds(
        Round(platform.postgres, "seal"),
        tasks,
        history,
        full,
        seal_bytes=seal_bytes,
        round_seconds=round_seconds(quiet_seconds),
    )
    sealer = Sealer(
        tasks,
        segments,
        store,
        source,
        platform.bucket,
        pace,
        seal_bytes=seal_bytes,
        quiet_seconds=quiet_seconds,
    )
    grace = timedelta(seconds=config.seal_grace_seconds)
    retention = Retention(Round(platform.postgres, "retention"), RetentionStore(platform.postgres), history, grace)
    return SealLoop(LogSealing(rounds, retention, tasks, segments, sealer, platform.bucket, pace), quiet_seconds)


class LogSealing:
    """What there is to do about the text of log files."""

    def __init__(
        self,
        rounds: SealRounds,
        retention: Retention,
        tasks: SealTaskStore,
        segments: SegmentStore,
        sealer: Sealer,
        bucket: Bucket,
        pace: Pace,
    ) -> None:
        self._rounds = rounds
        self._retention = retention
        self._tasks = tasks
        self._segments = segments
        self._sealer = sealer
        self._bucket = bucket
        self._pace = pace

    async def look(self) -> None:
        """Looks for files with text to seal, and for those that are old enough to go, if it is time."""
        await self._rounds.look()
        await self._retention.look()
        WAITING_FILES.set(await self._tasks.waiting_count())

    async def seal_one(self) -> bool:
        """Works on one task; returns False if none is due."""
        task = await self._tasks.claim()
        if task is None:
            return False
        async with attempt(
            self._pace, {"run": str(task.run), "path": task.path}, lambda: self._tasks.fail(task), FAILED_SEALS
        ):
            await self._sealer.work(task)
        return True

    async def remove_one(self) -> bool:
        """Removes one segment that expired or was given up; returns False if there is none."""
        expired = await self._segments.claim_expired()
        if expired is None:
            return False
        run, file, number = expired
        await self._bucket.discard(segment_key(run, number))
        await self._segments.forget(run, file, number)
        REMOVED_SEGMENTS.inc()
        return True
