"""All services in a process of their own, for scripts that are executed against them."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runstream._channel.connection import close_connections
from runstream_server.config import BucketConfig, Config, JobsConfig, PostgresConfig, ServerConfig
from runstream_server.embedded.s3 import EmbeddedS3
from runstream_server.rpc import open_channel
from tests.conftest import kept_running, make_database
from tests.runners import Gate, Jobs
from tests.server_process import ServerProcess
from tests.spools import Spools, spools_in
from tests.submitted import make_submitter

LEASE_SECONDS = 6.0
"""So that a runner soon finds out that it has lost its lease."""


@pytest.fixture(scope="package")
def services_config(postgres_server: str, migrated_template: str, s3_server: EmbeddedS3) -> Config:
    """Settings of services on a database and a bucket of these tests."""
    bucket = BucketConfig(
        endpoint=s3_server.endpoint,
        public_endpoint=s3_server.endpoint,
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        bucket=f"runner-{uuid.uuid4().hex}",
    )
    postgres = PostgresConfig(dsn=make_database(postgres_server, migrated_template))
    jobs = JobsConfig(lease_seconds=LEASE_SECONDS)
    return Config(postgres=postgres, bucket=bucket, server=ServerConfig(port=0, drain_seconds=1), jobs=jobs)


@pytest.fixture(scope="package")
def services(services_config: Config) -> Iterator[str]:
    """The address of all services."""

    @asynccontextmanager
    async def served() -> AsyncIterator[str]:
        server = ServerProcess(services_config)
        async with server.running():
            yield server.address

    with kept_running(served) as address:
        yield address


@pytest.fixture(scope="package")
def surroundings(services: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spools]:
    """Where runners keep what they need, all of them together, so that they have one uplink."""
    folder = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patch, spools_in(folder / "spools", patch) as spools:
        patch.setenv("RUNSTREAM_STATE_DIR", str(folder / "state"))
        patch.setenv("RUNSTREAM_JOBS_DIR", str(folder / "jobs"))
        patch.setenv("RUNSTREAM_CACHE_DIR", str(folder / "cache"))
        yield spools


@pytest.fixture
async def jobs(services: str, surroundings: Spools, tmp_path: Path) -> AsyncIterator[Jobs]:
    """Submits scripts."""
    async with open_channel(services) as channel:
        yield Jobs(await make_submitter(channel), services, tmp_path)
    await close_connections()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """What a script waits at."""
    return Gate(tmp_path)
