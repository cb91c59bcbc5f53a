"""`runstream up`: a whole backend in one process tree on one machine, with its data in one folder."""

import asyncio
import importlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from runstream_server.config import Config, ServerConfig
from runstream_server.embedded.errors import DatabaseUnusable
from runstream_server.embedded.lock import lock_folder
from runstream_server.embedded.port import choose_port, note_port
from runstream_server.embedded.servers import Servers, run_servers
from runstream_server.embedded.state import announced, read_state, state_folder

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

LOG_LIMIT_BYTES = 10 << 20
DEFAULT_WORKSPACE = "default"
GATEWAY_PORT = ServerConfig.port + 1


@dataclass(frozen=True, kw_only=True)
class UpSettings:
    """What to run, and where."""

    data: Path
    """The folder of everything that is kept."""

    port: int | None = None
    """0: a free one. None: the one it had before, or the usual one, or a free one."""

    postgres: str | None = field(default=None, repr=False)
    """The DSN of a database to use. None: an embedded server."""

    s3: str | None = None
    """The URL of an S3 server to use; its keys are in the environment. None: an embedded server."""

    environment: Mapping[str, str] = field(repr=False)
    """RUNSTREAM_* variables: settings of the services."""

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.data / "logs"


class Up:
    """One run of a backend."""

    def __init__(self, settings: UpSettings, *, say: Callable[[str], None], ready: Callable[[str, str], None]) -> None:
        """`say` is told what goes on; `ready` is told the address, and that for MLflow, once clients can connect."""
        self._settings = settings
        self._say = say
        self._ready = ready
        self._running: asyncio.Task[Any] | None = None
        self._servers = Servers()
        self._is_ready = False
        self.stopping = asyncio.Event()
        """Set when it was told to stop."""

    def stop(self) -> None:
        """Has `run` come to its end: in good order when it is ready, and else as soon as what it began is undone."""
        self.stopping.set()
        if self._running and not self._is_ready:
            self._running.cancel()

    def kill(self) -> None:
        """Ends the children at once. What was acknowledged is safe."""
        for child in self._servers.children:
            child.kill()

    async def run(self) -> None:
        """Serves until told to stop; then drains the services before their database and bucket go away.

        Raises:
            EmbeddedError: A server of ours cannot run, or the folder is in use.
            ConfigurationError: A setting is wrong.
            CancelledError: It was told to stop before it was ready.
        """
        self._running = asyncio.current_task()
        async with AsyncExitStack() as stack:
            stack.enter_context(lock_folder(self._settings.data))
            app = await self._start_servers(stack)
            config = configure(self._settings, self._servers)
            log_to_file(config, self._settings.logs / "runstream.log")
            await migrate(app, config)
            server = await stack.enter_async_context(app.serve(config))
            note_port(server.port, self._settings.data / "port")
            gateway = await make_workspace(server.inner_address, config.auth.service_key)
            if gateway_port := urlsplit(gateway).port:
                note_port(gateway_port, self._settings.data / "gateway-port")
            secret = await stack.enter_async_context(self._token(config))
            address = public_address(config, server.port)
            self._announce(stack, address, secret)
            app.spare_garbage_collection()
            self._is_ready = True
            self._ready(address, gateway)
            await self.stopping.wait()
            self._say("Stopping ...")

    async def _start_servers(self, stack: AsyncExitStack) -> ModuleType:
        """Starts the servers, and meanwhile loads the services."""
        settings = self._settings
        is_new = not (settings.data / "port").exists()
        self._say(f"Making a new backend in {settings.data} ..." if is_new else f"Starting on {settings.data} ...")
        loading = asyncio.create_task(asyncio.to_thread(importlib.import_module, "runstream_server.app"))
        servers = run_servers(
            settings.data, logs=settings.logs, postgres=settings.postgres is None, s3=settings.s3 is None
        )
        self._servers = await stack.enter_async_context(servers)
        return await loading

    @asynccontextmanager
    async def _token(self, config: Config) -> AsyncIterator[str]:
        """The secret of an operator of this machine, for as long as this runs; empty where nobody needs one."""
        from runstream_server.embedded.token import own_token, revoke_former

        if former := read_state(self._settings.data / "up.json").get("token"):
            await revoke_former(config, str(former))
        if not config.auth.required:
            yield ""
            return
        async with own_token(config) as secret:
            yield secret

    def _announce(self, stack: AsyncExitStack, address: str, secret: str) -> None:
        """Tells clients where it serves, and commands about the data also where its servers are."""
        settings, servers = self._settings, self._servers
        state = {"address": address, "pid": os.getpid(), "data": str(settings.data), "log": str(settings.logs)}
        if secret:
            state["token"] = secret
        stack.enter_context(announced(state, state_folder(settings.environment) / "up.json"))
        if servers.postgres:
            state["postgres"] = servers.postgres.dsn  # without a password: the folder of its socket is ours alone
        if servers.s3:
            state |= {"s3": servers.s3.endpoint, "bucket": servers.s3.bucket}
        stack.enter_context(announced(state, settings.data / "up.json"))


def configure(settings: UpSettings, servers: Servers) -> Config:
    """The settings of the services: those of the environment, on the servers that run or are given.

    Raises:
        ConfigurationError: A variable is missing or wrong.
    """
    environment = dict(settings.environment)
    environment["RUNSTREAM_PORT"] = str(choose_port(settings.port, settings.data / "port"))
    if not environment.get("RUNSTREAM_GATEWAY_PORT"):
        asked = 0 if settings.port == 0 else None
        environment["RUNSTREAM_GATEWAY_PORT"] = str(choose_port(asked, settings.data / "gateway-port", GATEWAY_PORT))
    environment["RUNSTREAM_POSTGRES_DSN"] = servers.postgres.dsn if servers.postgres else str(settings.postgres)
    environment["RUNSTREAM_S3_ENDPOINT"] = servers.s3.endpoint if servers.s3 else str(settings.s3)
    if servers.s3 is None:
        return Config.from_environment(environment)
    environment["RUNSTREAM_S3_PUBLIC_ENDPOINT"] = servers.s3.endpoint
    environment["RUNSTREAM_S3_ACCESS_KEY"] = servers.s3.access_key
    environment["RUNSTREAM_S3_SECRET_KEY"] = servers.s3.secret_key
    environment["RUNSTREAM_S3_BUCKET"] = servers.s3.bucket
    config = Config.from_environment(environment)
    return replace(config, bucket=replace(config.bucket, check_at_start=False, folder=servers.s3.folder))


def log_to_file(config: Config, path: Path) -> None:
    """Sends the logs of this process to a file, of which one older generation is kept."""
    from runstream_server.telemetry import configure_logs

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=LOG_LIMIT_BYTES, backupCount=1, encoding="utf-8")
    configure_logs(config.telemetry.log_level, handler)
    logging.captureWarnings(capture=True)


async def migrate(app: ModuleType, config: Config) -> None:
    """Brings the database up to date.

    Raises:
        DatabaseUnusable: It does not let us in, or is none.
    """
    import asyncpg

    try:
        await app.migrate_all(config)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnusable(error) from error


def public_address(config: Config, port: int) -> str:
    """Where clients on this machine connect to; with the scheme where that is not the usual one."""
    host = config.server.host
    if host in ("0.0.0.0", "::", "[::]"):  # noqa: S104 - what it is called here, not bound
        host = "localhost"
    return f"grpcs://{host}:{port}" if config.server.tls else f"{host}:{port}"


async def make_workspace(address: str, key: str) -> str:
    """Makes the workspace of those who name none, unless it is there; shows `key`, that of our services.

    Returns where the gateway serves it, empty if that is not known.
    """
    from runstream.api.runs.v1 import run_history_service_pb2 as messages
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub
    from runstream_server.rpc import open_channel

    request = messages.CreateWorkspaceRequest(workspace_id=DEFAULT_WORKSPACE, return_existing=True)
    async with open_channel(address, secret=key) as channel:
        stub = cast("RunHistoryServiceAsyncStub", RunHistoryServiceStub(channel))
        response = await stub.CreateWorkspace(request, timeout=30)
    return response.workspace.gateway_url
