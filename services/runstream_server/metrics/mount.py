"""Puts the metrics service together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from runstream.api.metrics.v1.metrics_service_pb2_grpc import add_MetricsServiceServicer_to_server
from runstream_server.appendstreams import AppendLimits, Outcome, append_hub
from runstream_server.metrics.append_store import AppendStore
from runstream_server.metrics.comparing import Comparison
from runstream_server.metrics.growing import Growths
from runstream_server.metrics.latest_reading import LatestReader
from runstream_server.metrics.latest_store import LatestStore
from runstream_server.metrics.maintenance.compaction import Compaction
from runstream_server.metrics.maintenance.compaction_store import CompactionStore
from runstream_server.metrics.maintenance.fragments import Fragments
from runstream_server.metrics.model import MetricAppend
from runstream_server.metrics.outbox import SummaryOutbox
from runstream_server.metrics.outbox_store import OutboxStore
from runstream_server.metrics.overview_store import OverviewStore
from runstream_server.metrics.reading import SeriesReader
from runstream_server.metrics.refusal_store import RefusalStore
from runstream_server.metrics.requests import WRITE_METRICS
from runstream_server.metrics.rules import Metrics
from runstream_server.metrics.sealing.object_store import SealedObjectStore
from runstream_server.metrics.sealing.reading import SealedReader
from runstream_server.metrics.sealing.service import sealing_of
from runstream_server.metrics.servicer import MetricsServicer, Readers
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.store import MetricStore
from runstream_server.metrics.tail_store import TailStore
from runstream_server.metrics.tails import HINT_TOPIC, Tails, hint_key
from runstream_server.native import native
from runstream_server.platform import Platform
from runstream_server.rpc import RpcServer
from runstream_server.runhistory import RunHistory, run_watch
from runstream_server.sealing.pace import Pace

logger = logging.getLogger(__name__)


@asynccontextmanager
async def mount(server: RpcServer, platform: Platform) -> AsyncIterator[None]:
    """Serves MetricsService on `server` while the context is open."""
    fragments = Fragments()
    appends = AppendStore(platform.postgres, lambda growths: _note(fragments, growths))
    store = MetricStore(platform.postgres)
    latest = LatestStore(platform.postgres)
    overviews, sealed = OverviewStore(platform.postgres), SealedObjectStore(platform.postgres)
    source = ChunkSource(store, overviews, SealedReader(sealed, platform.bucket))
    history = RunHistory(platform.channel, platform.stream_channel)
    outbox = SummaryOutbox(OutboxStore(platform.postgres), history)
    share = platform.config.maintenance.share
    compaction = Compaction(CompactionStore(platform.postgres), fragments, Pace(share))
    sealing = sealing_of(platform, history, store, latest, source)

    async def commit(group: Sequence[MetricAppend]) -> Sequence[Outcome]:
        outcomes = await appends.commit(group)
        committed(group)
        return outcomes

    async def ahead(group: Sequence[MetricAppend], turn: Callable[[], Awaitable[object]]) -> Sequence[Outcome] | None:
        outcomes = await appends.commit_ahead(group, turn)
        if outcomes is not None:
            committed(group)
        return outcomes

    async def rescue(append: MetricAppend) -> Outcome:
        outcome = await appends.commit_one_by_one(append)
        committed([append])
        return outcome

    def committed(group: Sequence[MetricAppend]) -> None:
        outbox.wake()
        platform.hints.publish(HINT_TOPIC, {hint_key(append.key.run_name) for append in group})

    async with (
        asyncio.TaskGroup() as tasks,
        run_watch(history) as watch,
        append_hub(
            "metrics",
            commit,
            rescue=rescue,
            ahead=ahead,
            limits=AppendLimits(),
            watch=watch,
            draining=platform.draining,
        ) as hub,
    ):
        tails = Tails(TailStore(platform.postgres), source, watch, platform.hints, platform.draining, platform.now)
        readers = Readers(SeriesReader(store, source), LatestReader(latest, source), Comparison(store, source), tails)
        metrics = Metrics(store, appends, RefusalStore(platform.postgres))
        logger.info("encoding curves", extra={"compiled": native is not None})
        server.read_by(WRITE_METRICS, bytes)  # streams know the most of them by their bytes
        servicer = MetricsServicer(metrics, readers, hub, history)
        add_MetricsServiceServicer_to_server(servicer, server)  # type: ignore[arg-type]
        background = [
            tasks.create_task(outbox.run(), name="metrics-summary-outbox"),
            tasks.create_task(compaction.run(), name="metrics-compaction"),
            tasks.create_task(sealing.run(), name="metrics-sealing"),
            tasks.create_task(tails.drain_when_told(), name="metrics-drain-tails"),
        ]
        try:
            yield
        finally:
            for task in background:
                task.cancel()


def _note(fragments: Fragments, growths: Growths) -> None:
    fragments.note(growths.single)
    fragments.note_places(growths.curves.places)
