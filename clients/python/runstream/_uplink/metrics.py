"""Carries the metrics of one spool."""

import asyncio
import hashlib
import time
from typing import Final

from runstream._spool.events import Refusal
from runstream._spool.format import HEADER_BYTES
from runstream._spool.lock import is_locked
from runstream._spool.progress import Batch, ProgressFile
from runstream._spool.reader import SpoolReader
from runstream._uplink.append import Piece, Stopped
from runstream._uplink.batches import BatchBuilder
from runstream._uplink.doorbell import Bell
from runstream._uplink.feed import Attendant, Feed
from runstream.api.metrics.v1.metrics_service_pb2 import (
    FinishMetrics,
    MetricsAcknowledged,
    MetricsOpened,
    OpenMetrics,
    WriteMetricsRequest,
)

GATHER_SECONDS: Final = 0.05
"""Batches of a busy writer are at least this far apart; the first after a rest goes at once."""
BATCH_BYTES: Final = 256 * 1024
LOOK_SECONDS: Final = 1.0
"""How often it is looked whether a silent writer lives."""


class MetricSource:
    """The batches of one spool.

    What a batch is made of is noted before it is sent, so also after a kill of this process a sequence is made of the
    same records again, and whatever the server has of it, nothing is lost or doubled.
    """

    def __init__(
        self,
        reader: SpoolReader,
        progress: ProgressFile,
        bell: Bell,
        attendant: Attendant,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        self._reader = reader
        self._progress = progress
        self._bell = bell
        self._attendant = attendant
        self._gather_seconds = gather_seconds
        self._feed = Feed(reader, attendant)
        self._made = 0
        self._next = 1
        self._end = HEADER_BYTES
        self._batch_bytes = BATCH_BYTES
        self._made_time = 0.0
        self._is_behind = False
        self._is_dead = False
        self.active_time = time.monotonic()
        """When there was something to do for the last time, by the monotonic clock."""

    @property
    def is_settled(self) -> bool:
        """Whether everything that was read is acknowledged."""
        return self._progress.progress.sequence >= self._made

    @property
    def is_full(self) -> bool:
        """Whether a batch is to be made again, or what the spool has fills one."""
        return self._next <= self._made or self._reader.size - self._feed.position >= self._batch_bytes

    @property
    def goes_on(self) -> bool:
        """Whether the writer's process writes another spool."""
        return self._feed.goes_on

    async def has_values(self) -> bool:
        """Waits for the first batch, without anything of the server; false: there will be none.

        Raises:
            Stopped: It is not known where an earlier uplink stopped making batches.
        """
        await self._catch_up()
        return self._made > 0 or await self.next() is not None

    async def _catch_up(self) -> None:
        self._made = self._progress.progress.sequence
        while self._progress.batch(self._made + 1) is not None:
            self._made += 1
        if self._made:
            self._end = self._known(self._made).end
        while self._feed.skip_to(self._end):  # noqa: ASYNC110
            await asyncio.sleep(0)  # others take their turns

    def open(self) -> WriteMetricsRequest:
        """The first message."""
        header, durable = self._reader.header, self._progress.progress.sequence
        batch = self._progress.batch(durable)
        return WriteMetricsRequest(
            open=OpenMetrics(
                run=header.run,
                writer=header.writer,
                durable_sequence=durable,
                durable_digest=batch.digest if batch else b"",
            )
        )

    def opened(self, opened: MetricsOpened) -> None:
        """Goes on after what the server has.

        Raises:
            Stopped: It is not known what that is made of.
        """
        durable = opened.durable_sequence
        if durable > self._made:
            raise Stopped("WRITER_DIVERGED", f"the server has {durable} batches, this machine knows of {self._made}")
        if durable < self._made:
            self._known(durable + 1)
        self._next = durable + 1
        self._batch_bytes = max(1, min(BATCH_BYTES, opened.max_batch_bytes // 4))
        self._save(durable)

    async def next(self) -> Piece[WriteMetricsRequest] | None:
        """The next batch."""
        if self._next <= self._made:
            batch = self._known(self._next)
            return self._piece(batch, self._feed.rebuild(batch.start, batch.end))
        if not self._is_behind:
            await asyncio.sleep(self._made_time + self._gather_seconds - time.monotonic())
        while True:
            self._bell.arm()
            builder = self._gather()
            if not builder.is_empty:
                return self._piece(self._note(), builder)
            self._save(self._progress.progress.sequence)
            if self._feed.is_over or self._is_dead:
                return None
            if is_locked(self._reader.fd):
                await self._bell.wait(LOOK_SECONDS)
            else:
                self._is_dead = True  # what it wrote last is looked at once more

    def acknowledged(self, acknowledged: MetricsAcknowledged) -> int:
        """Notes what became durable, after what was refused of it."""
        for it in acknowledged.refusals:
            self._attendant.take_refusal(Refusal(it.metric, it.reason, it.message, it.count))
        self._save(acknowledged.durable_sequence)
        return acknowledged.durable_sequence

    def finish(self) -> WriteMetricsRequest:
        """The last message."""
        return WriteMetricsRequest(finish=FinishMetrics())

    def _gather(self) -> BatchBuilder:
        """What is to be sent next: up to `_batch_bytes`, give or take a record."""
        builder = self._feed.begin_batch()
        while not builder.is_full(self._batch_bytes) and self._feed.take(builder, final=self._is_dead):
            pass
        self._is_behind = builder.is_full(self._batch_bytes)
        return builder

    def _note(self) -> Batch:
        """Notes what the next batch is made of."""
        start, end = self._end, self._feed.position
        digest = hashlib.sha256(self._reader.bytes_between(start, end)).digest()
        batch = Batch(self._made + 1, start, end, digest)
        self._progress.add_batch(batch)
        self._made, self._end = batch.sequence, end
        return batch

    def _piece(self, batch: Batch, builder: BatchBuilder) -> Piece[WriteMetricsRequest]:
        self._next = batch.sequence + 1
        self._made_time = self.active_time = time.monotonic()
        request = WriteMetricsRequest(batch=builder.build(batch.sequence, batch.digest))
        return Piece(request, batch.sequence, request.ByteSize())

    def _save(self, durable: int) -> None:
        """Notes that batches are acknowledged; after the last one also what follows it without being sent."""
        now = self._progress.progress
        sequence = max(durable, now.sequence)
        if sequence == self._made:
            offset = self._feed.position
        else:
            batch = self._progress.batch(sequence)
            offset = batch.end if batch else now.offset
        if (sequence, offset) != (now.sequence, now.offset):
            self._progress.save(now._replace(sequence=sequence, offset=max(offset, now.offset)))

    def _known(self, sequence: int) -> Batch:
        batch = self._progress.batch(sequence)
        if batch is None:
            raise Stopped("WRITER_DIVERGED", f"this machine does not know any more what batch {sequence} was made of")
        return batch
