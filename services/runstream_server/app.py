"""The composition root: which services there are, what they stand on, and how a process starts and stops."""

import gc
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import grpc

from runstream_server import artifacts, auth, gateway, jobs, logs, metrics, runs
from runstream_server.config import Config
from runstream_server.objectstore import open_bucket
from runstream_server.platform import Platform
from runstream_server.postgres import listening, migrate, open_postgres
from runstream_server.rpc import RpcServer, open_channel, rpc_server
from runstream_server.rpc.server import serving
from runstream_server.telemetry import serving_metrics

logger = logging.getLogger(__name__)


Mount = Callable[[RpcServer, Platform], AbstractAsyncContextManager[None]]

MOUNTS: Mapping[str, Mount] = {
    "runs": runs.mount,
    "metrics": metrics.mount,
    "logs": logs.mount,
    "artifacts": artifacts.mount,
    "jobs": jobs.mount,
}

GATEWAY = "gateway"
"""The service that is none of gRPC."""

SERVICES: Sequence[str] = (*MOUNTS, GATEWAY)

MIGRATIONS: Mapping[str, Path] = {
    "auth": auth.MIGRATIONS,
    "runs": runs.MIGRATIONS,
    "metrics": metrics.MIGRATIONS,
    "logs": logs.MIGRATIONS,
    "artifacts": artifacts.MIGRATIONS,
    "jobs": jobs.MIGRATIONS,
    "gateway": gateway.MIGRATIONS,
}


async def migrate_all(config: Config) -> int:
    """Brings the database to the schema of this version; returns how many migrations were applied."""
    return await migrate(config.postgres.dsn, MIGRATIONS)


def spare_garbage_collection() -> None:
    """Lets the garbage collector pass over what was loaded, and look less often. For a process that only serves.

    A request with thousands of parts is no garbage, and looking through it again and again costs a tenth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


@asynccontextmanager
async def serve(
    config: Config,
    services: Sequence[str] = SERVICES,
    *,
    peers: str | None = None,
    now: Callable[[], datetime] = utc_now,
) -> AsyncIterator[RpcServer]:
    """Serves the named services while the context is open; at its end drains and stops.

    `peers` is the address where the services reach each other. Default: this server, which then serves all of them.
    """
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(open_postgres(config.postgres))
        authorisation = await stack.enter_async_context(auth.open_auth(config.auth, postgres, now))
        access_log = config.telemetry.access_log
        server = await stack.enter_async_context(rpc_server(config.server, access_log, authorisation.guards))
        listener = stack.enter_context(gateway.listening(config)) if GATEWAY in services else None
        config = replace(config, gateway=listener.settings) if listener else config
        hints = await stack.enter_async_context(listening(config.postgres.dsn, postgres))
        bucket = await stack.enter_async_context(open_bucket(config.bucket))
        address = peers or server.inner_address
        channel, stream_channel = [
            await stack.enter_async_context(_open_channel(config, address, config.auth.service_key)) for _ in range(2)
        ]
        authorisation.ask(channel)
        platform = Platform(
            config=config,
            postgres=postgres,
            bucket=bucket,
            hints=hints,
            channel=channel,
            stream_channel=stream_channel,
            open_channel=await stack.enter_async_context(_open_channel(config, address)),
            draining=server.draining,
            auth=authorisation,
            now=now,
        )
        for service in services:
            if service in MOUNTS:
                await stack.enter_async_context(MOUNTS[service](server, platform))
        if config.telemetry.metrics_port is not None:
            stack.enter_context(serving_metrics(config.telemetry.metrics_port))
        async with serving(server, config.server, postgres.answers), AsyncExitStack() as last:
            if listener:
                await last.enter_async_context(gateway.mount(listener, platform))
            yield server


def _open_channel(config: Config, address: str, secret: str = "") -> AbstractAsyncContextManager[grpc.aio.Channel]:
    """Opens a channel to our own services."""
    shown = secret if config.auth.required else ""
    return open_channel(address, secret=shown, authority=config.auth.authority)
