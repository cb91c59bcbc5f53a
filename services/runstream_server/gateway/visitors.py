"""Who calls the gateway, and calls of the services in the name of that one."""

import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import grpc
from aiohttp import web

from runstream.api.artifacts.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from runstream.api.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub
from runstream_server.auth import Auth, Caller, Role
from runstream_server.auth.errors import RoleTooSmall, TokenMissing, TokenUnknown
from runstream_server.auth.model import includes
from runstream_server.gateway.refusals import read_refusal
from runstream_server.names import RunName, WorkspaceName, check_workspace_id
from runstream_server.not_found import WorkspaceNotFound
from runstream_server.rpc.call import REQUEST_ID
from runstream_server.telemetry import request_id

DEFAULT_WORKSPACE = "default"
CALL_SECONDS = 15.0
STREAM_SECONDS = 120.0
"""As long as clients wait for an answer."""

_Response = TypeVar("_Response")


class Services:
    """Stubs of the services."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """`channel` shows nothing by itself."""
        self.runs: Any = RunHistoryServiceStub(channel)
        self.metrics: Any = MetricsServiceStub(channel)
        self.artifacts: Any = ArtifactServiceStub(channel)


@dataclass(frozen=True)
class Visitor:
    """Who calls the gateway, and in which workspace."""

    workspace: WorkspaceName
    services: Services

    caller: Caller | None
    """None: no token is required here."""

    metadata: tuple[tuple[str, str], ...] = ()
    """What calls of the services show."""

    @property
    def own_run(self) -> RunName | None:
        """The run whose token is shown, which is confined to what this run reaches; None: that of a user, or none."""
        return self.caller.run if self.caller else None

    async def call(
        self, method: Callable[..., Any], request: Any, response: type[_Response], *, seconds: float = CALL_SECONDS
    ) -> _Response:
        """Calls a method without streams in the name of this visitor; raises Refusal."""
        try:
            answer = await method(request, metadata=self._metadata(), timeout=seconds, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise read_refusal(error) from None
        return cast(_Response, answer)

    async def stream(
        self, method: Callable[..., Any], request: Any, response: type[_Response], *, seconds: float = STREAM_SECONDS
    ) -> AsyncGenerator[_Response, None]:
        """Calls a method that answers with a stream in the name of this visitor; raises Refusal."""
        call = method(request, metadata=self._metadata(), timeout=seconds, wait_for_ready=True)
        try:
            async for message in call:
                yield cast(_Response, message)
        except grpc.aio.AioRpcError as error:
            raise read_refusal(error) from None
        finally:
            call.cancel()

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call shows: the token of the visitor, and the id of the request for the logs."""
        return (*self.metadata, (REQUEST_ID, request_id.get()))

    def require(self, role: Role, *, of_run: bool) -> None:
        """Raises RoleTooSmall unless this visitor has a role, or has the token of a run and `of_run` lets that in."""
        if self.caller is None:
            return
        if self.caller.run is not None and of_run:
            return
        if not includes(self.caller.role, role):
            raise RoleTooSmall(role, self.caller.role)


class Visitors:
    """Finds out who calls."""

    def __init__(self, channel: grpc.aio.Channel, auth: Auth) -> None:
        """`channel` leads to the services and shows nothing by itself."""
        self._services = Services(channel)
        self._auth = auth

    async def find(self, request: web.Request) -> Visitor:
        """Finds out who makes a request, and in which workspace: that of the path, else of the token, else `default`.

        Raises:
            Unauthenticated: A token is required, and there is none that is taken.
            WorkspaceNotFound: The path names a workspace that the token does not reach.
            InvalidField: The path names what can be no workspace.
        """
        asked = request.match_info.get("workspace")
        named = WorkspaceName(check_workspace_id(asked, "workspace")) if asked else None
        if self._auth.guards is None:
            return Visitor(named or WorkspaceName(DEFAULT_WORKSPACE), self._services, None)
        secret = shown_secret(request.headers.get("Authorization", ""))
        caller = await self._auth.guards.holder(secret)
        own = caller.workspace
        if own is not None and named not in (None, own):
            raise WorkspaceNotFound(named or own)
        workspace = own or named or WorkspaceName(DEFAULT_WORKSPACE)
        return Visitor(workspace, self._services, caller, (("authorization", f"Bearer {secret}"),))


def shown_secret(header: str) -> str:
    """The secret in an `Authorization` header: that of `Bearer`, or the password of `Basic`.

    Raises:
        TokenMissing: There is no such header.
        TokenUnknown: It is of another form.
    """
    if not header:
        raise TokenMissing
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer" and rest.isascii():
        return rest.strip()
    if scheme.lower() == "basic":
        with suppress(ValueError):  # no base64, or no text in it
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
    raise TokenUnknown
