"""Puts the log service together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from runstream.api.logs.v1.log_service_pb2_grpc import add_LogServiceServicer_to_server
from runstream_server.appendstreams import AppendLimits, Outcome, append_hub
from runstream_server.logs.model import LogAppend, hint_keys
from runstream_server.logs.rules import Logs
from runstream_server.logs.servicer import LogServicer
from runstream_server.logs.store import LogStore
from runstream_server.logs.tails import HINT_TOPIC, Tails
from runstream_server.platform import Platform
from runstream_server.rpc import RpcServer
from runstream_server.runhistory import RunHistory, run_watch


@asynccontextmanager
async def mount(server: RpcServer, platform: Platform) -> AsyncIterator[None]:
    """Serves LogService on `server` while the context is open."""
    store = LogStore(platform.postgres)
    logs = Logs(store, platform.now)

    async def commit(appends: Sequence[LogAppend]) -> Sequence[Outcome]:
        outcomes = await store.commit(appends, platform.now())
        for key in {append.key for append in appends}:
            platform.hints.publish(HINT_TOPIC, hint_keys(key.run_name, [key.name]))
        return outcomes

    async with (
        asyncio.TaskGroup() as tasks,
        run_watch(RunHistory(platform.channel, platform.stream_channel)) as watch,
        append_hub("logs", commit, limits=AppendLimits(), watch=watch, draining=platform.draining) as hub,
    ):
        tails = Tails(logs, watch, platform.hints, platform.draining, platform.now)
        add_LogServiceServicer_to_server(LogServicer(logs, tails, hub), server)  # type: ignore[arg-type]
        draining = tasks.create_task(tails.drain_when_told(), name="logs-drain-tails")
        try:
            yield
        finally:
            draining.cancel()
