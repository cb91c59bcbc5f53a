"""All services in a process of their own, with TLS, where calls need tokens, and programs that show some."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from runstream._channel.connection import close_connections
from runstream_server.auth import NewToken, Role, Tokens
from runstream_server.auth.store import TokenStore
from runstream_server.auth_config import AuthConfig, TlsConfig
from runstream_server.config import BucketConfig, Config, JobsConfig, PostgresConfig, ServerConfig
from runstream_server.embedded.s3 import EmbeddedS3
from runstream_server.names import TokenName
from runstream_server.postgres import open_postgres
from runstream_server.rpc import open_channel
from tests.certificates import Certificate, make_certificate
from tests.conftest import forget_settings, kept_running, make_database
from tests.guarded import SERVICE_KEY, now
from tests.make_runs import make_workspace
from tests.runners import Gate, Jobs
from tests.server_process import ServerProcess
from tests.spools import Spools, spools_in
from tests.submitted import make_submitter

RUN_TOKEN_SECONDS = 6.0
"""So that a run soon outlives its first one."""


@dataclass(frozen=True)
class Issued:
    """A token."""

    name: TokenName
    secret: str


@dataclass(frozen=True)
class Guarded:
    """Services that want tokens."""

    address: str
    tokens: Tokens
    channel: grpc.aio.Channel
    """With the token of an operator."""

    authority: Path
    """The certificates by which the services are trusted."""

    def showing(self, secret: str) -> AbstractAsyncContextManager[grpc.aio.Channel]:
        """A channel whose calls show a token."""
        return open_channel(self.address, secret=secret, authority=self.authority)

    async def issue(self, role: Role = Role.WRITER, workspace: str = "space", **of_token: Any) -> Issued:
        """Makes a token."""
        token, secret = await self.tokens.create(NewToken(role, "" if role is Role.OPERATOR else workspace, **of_token))
        return Issued(token.name, secret)


@pytest.fixture(scope="package")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """That of the services."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="package")
def services_config(
    postgres_server: str, migrated_template: str, s3_server: EmbeddedS3, certificate: Certificate
) -> Config:
    """Settings of services on a database and a bucket of these tests."""
    bucket = BucketConfig(
        endpoint=s3_server.endpoint,
        public_endpoint=s3_server.endpoint,
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        bucket=f"tokens-{uuid.uuid4().hex}",
    )
    auth = AuthConfig(required=True, service_key=SERVICE_KEY, run_token_seconds=RUN_TOKEN_SECONDS, check_seconds=0.1)
    return Config(
        postgres=PostgresConfig(dsn=make_database(postgres_server, migrated_template)),
        bucket=bucket,
        server=ServerConfig(
            port=0,
            drain_seconds=1,
            tls=TlsConfig(certificate=certificate.certificate, key=certificate.key),
        ),
        jobs=JobsConfig(lease_seconds=6.0, report_seconds=2.0),
        auth=auth,
    )


@pytest.fixture(scope="package")
def services(services_config: Config) -> Iterator[str]:
    """The address of all services."""

    @asynccontextmanager
    async def served() -> AsyncIterator[str]:
        server = ServerProcess(services_config)
        async with server.running():
            yield f"grpcs://{server.address}"

    with kept_running(served) as address:
        yield address


@pytest.fixture
async def guarded(services: str, services_config: Config, certificate: Certificate) -> AsyncIterator[Guarded]:
    """Services that want tokens, and a workspace in them."""
    lifetime = timedelta(seconds=RUN_TOKEN_SECONDS)
    async with open_postgres(services_config.postgres) as postgres:
        tokens = Tokens(TokenStore(postgres), now, required=True, run_lifetime=lifetime)
        _, secret = await tokens.create(NewToken(Role.OPERATOR))
        authority = certificate.certificate
        async with open_channel(services, secret=secret, authority=authority) as channel:
            await make_workspace(channel)
            yield Guarded(services, tokens, channel, authority)
    await close_connections()


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: Certificate) -> Iterator[Spools]:
    """Where programs of a user without a token keep what they need. They trust the services."""
    names = ("state", "jobs", "cache")
    folders = {f"RUNSTREAM_{name.upper()}_DIR": str(tmp_path / name) for name in names}
    forget_settings(monkeypatch, {**folders, "RUNSTREAM_CA_FILE": str(certificate.certificate)})
    with spools_in(tmp_path / "spools", monkeypatch) as spools:
        yield spools


@pytest.fixture
async def writer(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> Issued:
    """A token with which this process, and what it starts, records and submits."""
    issued = await guarded.issue()
    monkeypatch.setenv("RUNSTREAM_TOKEN", issued.secret)
    return issued


@pytest.fixture
async def jobs(guarded: Guarded, writer: Issued, tmp_path: Path) -> Jobs:
    """Submits scripts."""
    return Jobs(await make_submitter(guarded.channel), guarded.address, tmp_path)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """What a script waits at."""
    return Gate(tmp_path)
