"""Calls with tokens, over TLS and without, to a small real server."""

import operator
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from runstream._channel import Connection
from runstream._channel.connection import close_connections
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics_api
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.exceptions import AuthenticationException, ServiceException, UserErrorException
from tests.certificates import make_certificate
from tests.conftest import forget_settings

GOOD, BAD = "rst_good", "rst_bad"


class Servicer:
    """Lets in who shows one token, and notes what is shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.reason = "TOKEN_UNKNOWN"

    async def admit(self, context: Any) -> None:
        shown = dict(context.invocation_metadata()).get("authorization", "")
        self.seen.append(shown)
        if shown == f"Bearer {GOOD}":
            return
        status, packed = status_pb2.Status(), any_pb2.Any()
        packed.Pack(error_details_pb2.ErrorInfo(reason=self.reason))
        status.details.append(packed)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not known")

    async def get_run(self, request: object, context: Any) -> api.GetRunResponse:
        await self.admit(context)
        return api.GetRunResponse()

    async def watch_runs(self, request: object, context: Any) -> None:
        await self.admit(context)

    async def write_metrics(self, requests: object, context: Any) -> None:
        await self.admit(context)


@asynccontextmanager
async def serving(servicer: Servicer, credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[str]:
    """A server; where it is."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    serialize: Any = operator.methodcaller("SerializeToString")
    rules: Any = {
        "GetRun": grpc.unary_unary_rpc_method_handler(servicer.get_run, api.GetRunRequest.FromString, serialize),
        "WatchRuns": grpc.unary_stream_rpc_method_handler(
            servicer.watch_runs, api.WatchRunsRequest.FromString, serialize
        ),
    }
    streams: Any = {
        "WriteMetrics": grpc.stream_stream_rpc_method_handler(
            servicer.write_metrics, metrics_api.WriteMetricsRequest.FromString, serialize
        )
    }
    for file, name, handlers in ((api, "RunHistoryService", rules), (metrics_api, "MetricsService", streams)):
        service = file.DESCRIPTOR.services_by_name[name].full_name
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    place = "127.0.0.1:0"
    port = server.add_secure_port(place, credentials) if credentials else server.add_insecure_port(place)
    await server.start()
    try:
        yield f"{'grpcs://' if credentials else ''}127.0.0.1:{port}"
    finally:
        await close_connections()
        await server.stop(None)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing of tokens."""
    forget_settings(monkeypatch, {"RUNSTREAM_STATE_DIR": str(tmp_path / "state")})


@pytest.fixture
async def servicer() -> Servicer:
    """What the server does."""
    return Servicer()


async def get(connection: Connection) -> None:
    await connection.call(connection.runs.GetRun, api.GetRunRequest())


async def test_calls_and_streams_of_all_kinds_carry_the_token(
    servicer: Servicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNSTREAM_TOKEN", GOOD)
    async with serving(servicer) as address:
        connection = Connection.to(address)
        await get(connection)
        async for _ in connection.stream(connection.runs.WatchRuns, api.WatchRunsRequest()):
            pass
        assert await connection.metrics.WriteMetrics().read() is grpc.aio.EOF

    assert servicer.seen == [f"Bearer {GOOD}"] * 3


async def test_without_a_token_none_is_sent_and_the_error_says_what_to_do(servicer: Servicer) -> None:
    servicer.reason = "TOKEN_MISSING"
    async with serving(servicer) as address:
        with pytest.raises(AuthenticationException, match=r"RUNSTREAM_TOKEN_FILE.*login --token-stdin") as caught:
            await get(Connection.to(address))

    assert servicer.seen == [""]
    assert caught.value.reason == "TOKEN_MISSING"


async def test_the_error_says_where_a_refused_token_came_from_and_never_the_token(
    servicer: Servicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNSTREAM_TOKEN", BAD)
    async with serving(servicer) as address:
        with pytest.raises(AuthenticationException) as caught:
            await get(Connection.to(address))

    assert "that of RUNSTREAM_TOKEN" in caught.value.message
    assert BAD not in str(caught.value)
    assert len(servicer.seen) == 1


async def test_a_call_whose_token_was_replaced_meanwhile_is_made_again(
    servicer: Servicer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(BAD)
    monkeypatch.setenv("RUNSTREAM_TOKEN_FILE", str(file))
    async with serving(servicer) as address:
        connection = Connection.to(address)
        assert connection.credential.token.secret == BAD
        file.write_text(GOOD)
        await get(connection)

    assert servicer.seen[-1] == f"Bearer {GOOD}"


async def test_services_with_a_certificate_of_an_own_authority_are_reached_by_its_file(
    servicer: Servicer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = make_certificate(tmp_path)
    credentials = grpc.ssl_server_credentials([(made.key.read_bytes(), made.certificate.read_bytes())])
    monkeypatch.setenv("RUNSTREAM_TOKEN", GOOD)
    async with serving(servicer, credentials) as address:
        with pytest.raises(ServiceException, match="RUNSTREAM_CA_FILE"):
            await get(Connection.to(address))
        await close_connections()
        assert not servicer.seen
        monkeypatch.setenv("RUNSTREAM_CA_FILE", str(made.certificate))
        await get(Connection.to(address))

    assert servicer.seen == [f"Bearer {GOOD}"]


@pytest.mark.parametrize("text", [None, "no certificate"])
async def test_a_file_without_certificates_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    if text:
        (tmp_path / "ca").write_text(text)
    monkeypatch.setenv("RUNSTREAM_CA_FILE", str(tmp_path / "ca"))

    with pytest.raises(UserErrorException, match="RUNSTREAM_CA_FILE") as caught:
        Connection.to("grpcs://127.0.0.1:1")

    assert caught.value.reason == "INVALID_CA_FILE"
