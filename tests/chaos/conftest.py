"""What chaos needs: a Postgres and servers that may be ended."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from runstream_server.config import (
    BucketConfig,
    Config,
    MaintenanceConfig,
    PostgresConfig,
    ServerConfig,
    TelemetryConfig,
)
from tests.chaos.database import PostgresProcess, postgres_process
from tests.postgres_proxy import PostgresProxy, postgres_proxy
from tests.server_process import ServerProcess


@dataclass(frozen=True)
class Site:
    """A server that reaches a Postgres of its own through a proxy."""

    postgres: PostgresProcess
    proxy: PostgresProxy
    server: ServerProcess


@pytest.fixture
def maintenance() -> MaintenanceConfig:
    """How the server of a site keeps in order what is stored."""
    return MaintenanceConfig()


@pytest.fixture
async def site(bucket_config: BucketConfig, maintenance: MaintenanceConfig) -> AsyncIterator[Site]:
    """A site, whose server runs."""
    async with postgres_process() as postgres, postgres_proxy(postgres.dsn) as proxy:
        server = ServerProcess(
            Config(
                postgres=PostgresConfig(dsn=proxy.dsn),
                bucket=bucket_config,
                server=ServerConfig(port=0, drain_seconds=2),
                telemetry=TelemetryConfig(access_log="none"),
                maintenance=maintenance,
            )
        )
        async with server.running():
            yield Site(postgres, proxy, server)


@pytest.fixture
async def replicas(config: Config) -> AsyncIterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers on one database."""
    first, second = ServerProcess(config), ServerProcess(config)
    async with first.running(), second.running():
        yield first, second
