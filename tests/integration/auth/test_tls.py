"""The port speaks TLS where it has a certificate; the services of the process reach each other all the same."""

from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream_server import app
from runstream_server.auth_config import TlsConfig
from runstream_server.config import Config, ServerConfig
from runstream_server.errors import ConfigurationError
from runstream_server.rpc import open_channel
from tests import stubs
from tests.artifact_calls import Calls
from tests.certificates import make_certificate
from tests.make_runs import make_run, make_workspace


@pytest.fixture
def secured(config: Config, tmp_path: Path) -> tuple[Config, Path]:
    """Settings with a certificate, and where that is."""
    made = make_certificate(tmp_path)
    tls = TlsConfig(certificate=made.certificate, key=made.key)
    return replace(config, server=ServerConfig(host="localhost", port=0, tls=tls, drain_seconds=1)), made.certificate


async def test_a_client_that_trusts_the_certificate_is_served(secured: tuple[Config, Path]) -> None:
    config, authority = secured
    async with (
        app.serve(config) as server,
        open_channel(f"grpcs://{server.address}", authority=authority) as channel,
    ):
        run = await make_run(channel)
        digests = await Calls(channel).store(b"the artifact service asks the run history for the workspace")

    assert run.endswith("/runs/run")
    assert len(digests) == 1


@pytest.mark.parametrize("scheme", ["", "grpcs://"])
async def test_a_client_that_does_not_is_not(secured: tuple[Config, Path], scheme: str) -> None:
    config, _ = secured
    async with app.serve(config) as server, open_channel(f"{scheme}{server.address}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stubs.run_history(channel).ListWorkspaces(runs.ListWorkspacesRequest(), timeout=20)

    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_services_elsewhere_are_reached_by_tls_too(secured: tuple[Config, Path]) -> None:
    config, authority = secured
    others = ["metrics", "logs", "artifacts", "jobs"]
    async with app.serve(config, ["runs"]) as server:
        peers = f"grpcs://{server.address}"
        here = replace(config, auth=replace(config.auth, authority=authority))
        async with (
            app.serve(here, others, peers=peers) as second,
            open_channel(f"grpcs://{second.address}", authority=authority) as channel,
            open_channel(peers, authority=authority) as of_runs,
        ):
            await make_workspace(of_runs)
            assert len(await Calls(channel).store(b"bytes")) == 1


async def answers(address: str, authority: Path) -> bool:
    """Whether a new connection that trusts `authority` is served."""
    async with open_channel(f"grpcs://{address}", authority=authority) as channel:
        try:
            await stubs.run_history(channel).ListWorkspaces(runs.ListWorkspacesRequest(), timeout=20)
        except grpc.aio.AioRpcError:
            return False
    return True


async def test_a_renewed_certificate_is_shown_without_a_new_start(secured: tuple[Config, Path], tmp_path: Path) -> None:
    config, certificate = secured
    former = tmp_path / "former.pem"
    former.write_bytes(certificate.read_bytes())
    async with app.serve(config) as server:
        before = await answers(server.address, former)
        certificate.write_text("half of a cert")
        meanwhile = await answers(server.address, former)
        make_certificate(tmp_path)

        assert (before, meanwhile) == (True, True)
        assert await answers(server.address, certificate)
        assert not await answers(server.address, former)


async def test_a_key_of_another_certificate_is_named(secured: tuple[Config, Path], tmp_path: Path) -> None:
    config, _ = secured
    assert config.server.tls is not None
    tls = replace(config.server.tls, key=make_certificate(tmp_path / "other").key)

    with pytest.raises(ConfigurationError, match="RUNSTREAM_TLS_KEY"):
        async with app.serve(replace(config, server=replace(config.server, tls=tls))):
            pass


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_certificate_that_cannot_be_read_is_named(
    secured: tuple[Config, Path], content: str | None, tmp_path: Path
) -> None:
    config, _ = secured
    wrong = tmp_path / "wrong.pem"
    if content:
        wrong.write_text(content)
    assert config.server.tls is not None
    tls = replace(config.server.tls, certificate=wrong)

    with pytest.raises(ConfigurationError, match=r"RUNSTREAM_TLS_CERTIFICATE.*wrong\.pem"):
        async with app.serve(replace(config, server=replace(config.server, tls=tls))):
            pass
