"""Puts the log service together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from runstream.api.logs.v1.log_service_pb2_grpc import add_LogServiceServicer_to_server
from runstream_server.appendstreams import AppendLimits, Outcome, append_hub
from runstream_server.logs.append_store import LogAppendStore
from runstream_server.logs.drain import Drain
from runstream_server.logs.model import LogAppend, hint_keys
from runstream_server.logs.reading import LogReader
from runstream_server.logs.rules import Logs
from runstream_server.logs.sealing.reading import SegmentReader
from runstream_server.logs.sealing.scanning import FullFiles
from runstream_server.logs.sealing.segment_store import SegmentStore
from runstream_server.logs.sealing.service import sealing_of
from runstream_server.logs.search.files import SearchedFiles
from runstream_server.logs.search.searching import Searches
from runstream_server.logs.servicer import LogServicer
from runstream_server.logs.source import LogSource
from runstream_server.logs.store import LogStore
from runstream_server.logs.tails import HINT_TOPIC, Tails
from runstream_server.logs.watching import FileWatch
from runstream_server.platform import Platform
from runstream_server.rpc import RpcServer
from runstream_server.runhistory import RunHistory, run_watch


@asynccontextmanager
async def mount(server: RpcServer, platform: Platform) -> AsyncIterator[None]:
    """Serves LogService on `server` while the context is open."""
    appends, store = LogAppendStore(platform.postgres), LogStore(platform.postgres)
    source = LogSource(store, SegmentReader(SegmentStore(platform.postgres), platform.bucket))
    reader = LogReader(source)
    logs = Logs(appends, store, reader, platform.now)
    history = RunHistory(platform.channel, platform.stream_channel)
    full = FullFiles(platform.config.maintenance.log_seal_bytes)
    sealing = sealing_of(platform, history, store, source, full)
    files, drain = FileWatch(store), Drain(platform.draining)
    searches = Searches(source, SearchedFiles(store, history), platform.draining)

    async def commit(group: Sequence[LogAppend]) -> Sequence[Outcome]:
        outcomes, growths = await appends.commit(group, platform.now())
        full.note(growths)
        for key in {append.key for append in group}:
            platform.hints.publish(HINT_TOPIC, hint_keys(key.run_name, [key.name]))
        return outcomes

    async with (
        asyncio.TaskGroup() as tasks,
        run_watch(history) as runs,
        append_hub("logs", commit, limits=AppendLimits(), watch=runs, draining=platform.draining) as hub,
    ):
        tails = Tails(store, reader, files, runs, platform.hints, drain, platform.now)
        add_LogServiceServicer_to_server(LogServicer(logs, searches, tails, hub), server)  # type: ignore[arg-type]
        background = [
            tasks.create_task(sealing.run(), name="logs-sealing"),
            tasks.create_task(files.run(), name="logs-look-at-files"),
            tasks.create_task(drain.run(), name="logs-drain-tails"),
        ]
        try:
            yield
        finally:
            for task in background:
                task.cancel()
