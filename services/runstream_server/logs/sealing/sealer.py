"""Seals one file: its text becomes segments in the bucket, and leaves Postgres."""

import logging
from time import perf_counter

from runstream_server.logs.model import LogFile
from runstream_server.logs.sealing.model import SealTask, Segment, segment_key
from runstream_server.logs.sealing.segment_store import SegmentStore
from runstream_server.logs.sealing.task_store import SealTaskStore
from runstream_server.logs.sealing.telemetry import SEALED_SEGMENTS, SEALED_TEXT_BYTES, SEALING_SECONDS
from runstream_server.logs.sealing.writing import SegmentWriter
from runstream_server.logs.source import LogSource, Reading
from runstream_server.logs.store import LogStore
from runstream_server.objectstore import Bucket
from runstream_server.sealing import ClaimLostError, Lease, Pace

logger = logging.getLogger(__name__)

_SEGMENT_BYTES = 64 * 1024 * 1024
"""How much text one segment has, about; at most as many marks."""

_SEGMENT_MARKS = 65_536
_READING = Reading(page_bytes=2 * 1024 * 1024)


class Sealer:
    """Seals files. A crash at any point leaves every byte readable, and nothing that is not cleared away later."""

    def __init__(
        self,
        tasks: SealTaskStore,
        segments: SegmentStore,
        store: LogStore,
        source: LogSource,
        bucket: Bucket,
        pace: Pace,
        *,
        seal_bytes: int,
        quiet_seconds: float,
    ) -> None:
        self._tasks = tasks
        self._segments = segments
        self._store = store
        self._source = source
        self._bucket = bucket
        self._pace = pace
        self._seal_bytes = seal_bytes
        self._quiet_seconds = quiet_seconds

    async def work(self, task: SealTask) -> None:
        """Seals what there is to seal of the file of a task; puts it off while the writer may have more to say.

        Raises:
            ClaimLostError: Somebody else is at it.
            StoredBytesDamaged: Text is not what was stored, or the segment is not what was written.
            BucketUnavailable: The bucket does not answer.
        """
        file = await self._store.find(task.run, [task.path])
        while file is not None and self._has_text(file, self._seal_bytes):
            await self._seal(task, file)
            file = await self._store.find(task.run, [task.path])
        if file is not None and task.whole and self._has_text(file, 1):
            missing = 0.0 if file.finished else self._quiet_seconds - await self._tasks.quiet_seconds(task)
            if missing > 0:
                await self._tasks.wait(task, missing)
                return
            await self._seal(task, file)
        if file is not None:
            await self._clear(file)
        await self._tasks.cool(task)
        await self._tasks.finish(task)

    @staticmethod
    def _has_text(file: LogFile, at_least: int) -> bool:
        """Whether a file has so many bytes to seal."""
        return file.expire_time is None and file.unsealed_bytes >= at_least

    async def _seal(self, task: SealTask, file: LogFile) -> None:
        begun = perf_counter()
        number = await self._segments.begin(file)
        lease = Lease(file.path, lambda: self._tasks.renew(task, file.number, number), self._pace)
        try:
            pages = self._source.pages(file, file.sealed_bytes, file.size_bytes, _READING)
            writer = SegmentWriter(self._bucket, file, number, lease)
            segment = await writer.write(pages, _SEGMENT_BYTES, _SEGMENT_MARKS)
            if not await self._segments.swap(task, segment):
                raise ClaimLostError(f"{task.run}/{task.path}")
        except Exception:
            if await self._segments.give_up(file, number):
                await self._bucket.discard(segment_key(file.run, number))
            raise
        finally:
            SEALING_SECONDS.inc(perf_counter() - begun)
        _tell(segment)
        await self._clear(file)

    async def _clear(self, file: LogFile) -> None:
        """Removes from Postgres what is sealed, bit by bit."""
        more = True
        while more:
            async with self._pace.work():
                more = await self._segments.delete_sealed_chunks(file)


def _tell(segment: Segment) -> None:
    SEALED_SEGMENTS.inc()
    SEALED_TEXT_BYTES.inc(segment.size_bytes)
    logger.info("log sealed", extra={"run": str(segment.run), "key": segment.key, "size_bytes": segment.size_bytes})
