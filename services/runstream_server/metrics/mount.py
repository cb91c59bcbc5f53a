"""Puts the metrics service together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from runstream.api.metrics.v1.metrics_service_pb2_grpc import add_MetricsServiceServicer_to_server
from runstream_server.appendstreams import AppendLimits, Outcome, append_hub
from runstream_server.metrics.model import MetricAppend
from runstream_server.metrics.outbox import SummaryOutbox
from runstream_server.metrics.outbox_store import OutboxStore
from runstream_server.metrics.rules import Metrics
from runstream_server.metrics.servicer import MetricsServicer
from runstream_server.metrics.store import MetricStore
from runstream_server.platform import Platform
from runstream_server.rpc import RpcServer
from runstream_server.runhistory import RunHistory, run_watch


@asynccontextmanager
async def mount(server: RpcServer, platform: Platform) -> AsyncIterator[None]:
    """Serves MetricsService on `server` while the context is open."""
    store = MetricStore(platform.postgres)
    history = RunHistory(platform.channel, platform.stream_channel)
    outbox = SummaryOutbox(OutboxStore(platform.postgres), history)

    async def commit(appends: Sequence[MetricAppend]) -> Sequence[Outcome]:
        outcomes = await store.commit(appends)
        outbox.wake()
        return outcomes

    async with (
        asyncio.TaskGroup() as tasks,
        run_watch(history) as watch,
        append_hub(
            "metrics",
            commit,
            rescue=store.commit_one_by_one,
            limits=AppendLimits(),
            watch=watch,
            draining=platform.draining,
        ) as hub,
    ):
        add_MetricsServiceServicer_to_server(MetricsServicer(Metrics(store), hub), server)  # type: ignore[arg-type]
        delivering = tasks.create_task(outbox.run(), name="metrics-summary-outbox")
        try:
            yield
        finally:
            delivering.cancel()
