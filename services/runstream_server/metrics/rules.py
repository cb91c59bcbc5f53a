"""What the metrics service does."""

import asyncio
from collections.abc import Callable, Sequence

from runstream_server.appendstreams import AppendKey, Opening, Prepared, WriterDiverged
from runstream_server.metrics.append_store import AppendStore
from runstream_server.metrics.batches import check_batch, has_long_columns
from runstream_server.metrics.errors import SequenceGap
from runstream_server.metrics.model import MetricPayload, Points, SeriesPage
from runstream_server.metrics.queries import RefusalCount
from runstream_server.metrics.refusal_store import RefusalStore
from runstream_server.metrics.store import MetricStore
from runstream_server.names import RunName


class Metrics:
    """The rules of metrics."""

    def __init__(self, store: MetricStore, appends: AppendStore, refusals: RefusalStore) -> None:
        self._store = store
        self._appends = appends
        self._refusals = refusals
        self._turn = asyncio.Lock()

    async def open_writer(self, key: AppendKey, believed: int, digest: bytes) -> Opening:
        """Opens a stream of a writer and fences its older ones.

        Raises:
            WriterDiverged: The last durable batch is another one than the client believes.
        """
        opening = await self._appends.open_writer(key, believed, digest)
        if opening is None or opening.durable < believed:
            raise WriterDiverged(believed, await self._appends.position(key) or 0)
        return opening

    async def expect(self, key: AppendKey, sequence: int) -> None:
        """Makes the writer of a batch that comes without a stream, if it is new.

        Raises:
            SequenceGap: Batches before this one are missing, or it can be none.
        """
        durable = await self._appends.position(key)
        if not 1 <= sequence <= (durable or 0) + 1:
            raise SequenceGap(durable or 0)
        if durable is None:
            await self._appends.make_writer(key)

    async def prepare(
        self, sequence: int, digest: bytes, decode: Callable[[], Sequence[tuple[str, str, Points]]], *, is_quick: bool
    ) -> Prepared[MetricPayload]:
        """Decodes and checks a batch; one that takes long in a thread, with whom others share the interpreter.

        Those that take a millisecond or so take turns, with room for others in between: Postgres waits for what it is
        sent next as long as all of them take that come at once.
        """
        if not is_quick:
            return await asyncio.to_thread(lambda: check_batch(sequence, digest, decode()))
        columns = decode()
        if not has_long_columns(columns):
            return check_batch(sequence, digest, columns)
        async with self._turn:
            await asyncio.sleep(0)
            return check_batch(sequence, digest, columns)

    async def list_series(self, run: RunName, after: str, count: int) -> SeriesPage:
        """Returns up to `count` series of a run with names after `after`, in order of name."""
        return await self._store.list_series(run.workspace, [run.run], (), (run.run, after), count)

    async def refusals(self, run: RunName) -> Sequence[RefusalCount]:
        """How many values that were sent to a run are not stored, by reason and metric."""
        return await self._refusals.refusals(run)
