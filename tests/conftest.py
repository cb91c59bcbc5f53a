"""The real things that tests stand on: Postgres, an S3 server, and all services on a port."""

import asyncio
import os
import shutil
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import grpc
import pytest
from hypothesis import HealthCheck, settings

from runstream_server import app
from runstream_server.config import BucketConfig, Config, PostgresConfig, ServerConfig, TelemetryConfig
from runstream_server.embedded.postgres import run_postgres
from runstream_server.embedded.s3 import EmbeddedS3, run_s3
from runstream_server.objectstore import Bucket, open_bucket
from runstream_server.postgres import Postgres, migrate, open_postgres
from runstream_server.rpc import open_channel
from tests.make_runs import make_run

T = TypeVar("T")

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 << 30
"""For the servers of a few test processes."""

settings.register_profile(
    "runstream", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("runstream")


@contextmanager
def kept_running(context: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Keeps an async context open on an event loop of its own, whatever loops the tests use."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="kept-running", daemon=True)
    thread.start()
    manager = context()
    try:
        yield asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result(60)
        asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def quick_place() -> Path | None:
    """The file system in memory, if it has room: a database is copied there ten times faster. None: the usual place."""
    with suppress(OSError):
        if shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES:
            return _MEMORY
    return None


@contextmanager
def short_folder() -> Iterator[Path]:
    """An empty folder with a short path, as sockets need it."""
    path = Path(mkdtemp(prefix="rs-", dir=quick_place()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def forget_settings(monkeypatch: pytest.MonkeyPatch, known: Mapping[str, str]) -> None:
    """Takes from the environment what it says of Runstream, and lets it say what is known instead."""
    for name in [name for name in os.environ if name.startswith(("RUNSTREAM_", "AZUREML_"))]:
        monkeypatch.delenv(name)
    for name, value in known.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Where the servers of this test run keep their data. Nothing of it has to survive."""
    with TemporaryDirectory(prefix="runstream-tests-", dir=quick_place(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[str]:
    """A Postgres server; the DSN of its maintenance database."""
    with kept_running(lambda: run_postgres(server_folder / "postgres", survive_power_cut=False)) as server:
        yield server.dsn


@pytest.fixture(scope="session")
def migrated_template(postgres_server: str) -> str:
    """The name of a database with all migrations applied, to copy."""

    async def make() -> None:
        connection = await asyncpg.connect(postgres_server)
        await connection.execute("CREATE DATABASE migrated")
        await connection.close()
        await migrate(of_database(postgres_server, "migrated"), app.MIGRATIONS)

    asyncio.run(make())
    return "migrated"


def make_database(postgres_server: str, migrated_template: str) -> str:
    """Makes a migrated database, for tests that share one; its DSN."""
    name = f"shared_{uuid.uuid4().hex}"

    async def make() -> None:
        connection = await asyncpg.connect(postgres_server)
        await _copy_database(connection, migrated_template, name)
        await connection.close()

    asyncio.run(make())
    return of_database(postgres_server, name)


@pytest.fixture
async def postgres_dsn(postgres_server: str, migrated_template: str) -> AsyncIterator[str]:
    """The DSN of a migrated database of this test's own."""
    name = f"test_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(postgres_server)
    try:
        await _copy_database(connection, migrated_template, name)
        yield of_database(postgres_server, name)
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest.fixture
async def postgres(postgres_dsn: str) -> AsyncIterator[Postgres]:
    """A pool on this test's database."""
    async with open_postgres(PostgresConfig(dsn=postgres_dsn)) as pool:
        yield pool


@pytest.fixture(scope="session")
def s3_server(server_folder: Path) -> Iterator[EmbeddedS3]:
    """An S3 server."""
    with kept_running(lambda: run_s3(server_folder / "s3")) as server:
        yield server


@pytest.fixture
def bucket_config(s3_server: EmbeddedS3) -> BucketConfig:
    """How to reach a bucket of this test's own, which is made when it is first used."""
    return BucketConfig(
        endpoint=s3_server.endpoint,
        public_endpoint=s3_server.endpoint,
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        bucket=f"test-{uuid.uuid4().hex}",
        check_at_start=False,
    )


@pytest.fixture
async def bucket(bucket_config: BucketConfig) -> AsyncIterator[Bucket]:
    """A bucket of this test's own."""
    async with open_bucket(bucket_config) as opened:
        yield opened


@pytest.fixture
def config(postgres_dsn: str, bucket_config: BucketConfig) -> Config:
    """Settings of a process on this test's database and bucket, on a free port."""
    return Config(
        postgres=PostgresConfig(dsn=postgres_dsn, pool_size=8),
        bucket=bucket_config,
        server=ServerConfig(port=0, drain_seconds=1),
        telemetry=TelemetryConfig(access_log="none"),
    )


@dataclass(frozen=True)
class Backend:
    """All services, on a port."""

    address: str
    channel: grpc.aio.Channel
    config: Config


@asynccontextmanager
async def serve(config: Config) -> AsyncIterator[Backend]:
    """All services in this process."""
    async with app.serve(config) as server, open_channel(server.address) as channel:
        yield Backend(server.address, channel, config)


@pytest.fixture
async def backend(config: Config) -> AsyncIterator[Backend]:
    """All services in this process, on this test's database and bucket."""
    async with serve(config) as served:
        yield served


@pytest.fixture
async def replica(config: Config) -> AsyncIterator[Backend]:
    """All services once more, on another port, the same database and the same bucket."""
    async with serve(config) as served:
        yield served


@pytest.fixture
async def run(backend: Backend) -> str:
    """The name of a running run."""
    return await make_run(backend.channel)


def of_database(dsn: str, name: str) -> str:
    """The DSN of another database of the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def _copy_database(connection: "asyncpg.Connection[asyncpg.Record]", template: str, name: str) -> None:
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
