"""What the client of MLflow finds here by its entry points: the token for its requests, and the run of the job.

`mlflow.request_auth_provider` is asked where `MLFLOW_TRACKING_AUTH` is `runstream`, for every request anew, so it shows
the token as it is now; and it sees where a request goes, so the token goes to no other server. Importing this module is
quick: every program that imports MLflow does so where Runstream is installed.
"""

import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlsplit

NAME: Final = "runstream"
AUTH_VARIABLE: Final = "MLFLOW_TRACKING_AUTH"
URI_VARIABLE: Final = "MLFLOW_TRACKING_URI"
GATEWAY_VARIABLE: Final = "RUNSTREAM_GATEWAY_URL"
"""Where the gateway is, without a workspace."""
_RUN_VARIABLE: Final = "RUNSTREAM_RUN_ID"
_OWN_CREDENTIALS: Final = (AUTH_VARIABLE, "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME")
_PORTS: Final = {"http": 80, "https": 443}

_addresses: dict[str, str] = {}
"""Of services, by the URLs of their gateways."""
_others: set[tuple[str, str | None, int | None]] = set()
"""Servers that are not the gateway."""


class AuthProvider:
    """What the client of MLflow asks."""

    def get_name(self) -> str:
        """What `MLFLOW_TRACKING_AUTH` calls it."""
        return NAME

    def get_auth(self) -> Callable[[Any], Any]:
        """What a request is passed through before it is sent."""
        return show_token


class RunContext:
    """What the client of MLflow asks when it makes a run: those that a job makes besides its own are below that one."""

    def in_context(self) -> bool:
        """Whether this is a job, and MLflow records where the job does."""
        gateway = os.environ.get(GATEWAY_VARIABLE)
        return bool(os.environ.get(_RUN_VARIABLE) and gateway and is_below(os.environ.get(URI_VARIABLE, ""), gateway))

    def tags(self) -> dict[str, str]:
        """Those of a run that is made now."""
        return {"mlflow.parentRunId": os.environ[_RUN_VARIABLE]}


def show_token(request: Any) -> Any:
    """Adds the token to a request of `requests` to our gateway; from others removes what is ours."""
    from runstream._channel.tokens import TOKEN_VARIABLE

    secret = _token_for(request.url or "")
    if secret:
        request.headers["Authorization"] = f"Bearer {secret}"
    elif request.headers.get("Authorization") == f"Bearer {os.environ.get(TOKEN_VARIABLE)}":
        del request.headers["Authorization"]
    return request


def offer_token(gateway: str, address: str) -> None:
    """Has the client of MLflow show at a gateway the token for the services at an address.

    Where there is one, and the environment says nothing else, `MLFLOW_TRACKING_AUTH` is set for this process and those
    that it starts.
    """
    from runstream._channel.tokens import find_token

    _addresses[gateway] = address
    if find_token(address).secret and not any(os.environ.get(name) for name in _OWN_CREDENTIALS):
        os.environ[AUTH_VARIABLE] = NAME


def is_below(url: str, gateway: str) -> bool:
    """Whether a URL is one of a gateway."""
    path = urlsplit(gateway).path.rstrip("/")
    return _server(url) == _server(gateway) and f"{urlsplit(url).path}/".startswith(f"{path}/")


def _server(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1  # it is no port, so it is that of no server
    return parts.scheme, parts.hostname, _PORTS.get(parts.scheme) if port is None else port


def _token_for(url: str) -> str:
    from runstream._channel.address import find_address
    from runstream._channel.tokens import find_token
    from runstream.exceptions import AzureMLException

    for gateway, address in list(_addresses.items()):
        if is_below(url, gateway):
            return find_token(address).secret
    try:
        address = find_address()
        secret = find_token(address).secret
        return secret if secret and _is_gateway_of(address, url) else ""
    except AzureMLException:
        return ""


def _is_gateway_of(address: str, url: str) -> bool:
    """Whether the services at an address, which may be shown the token, say that a URL is of their gateway."""
    if gateway := os.environ.get(GATEWAY_VARIABLE):
        return is_below(url, gateway)
    if (server := _server(url)) in _others:
        return False
    from runstream._channel import loop

    gateway = loop.run(_ask_gateway(address, _workspace_of(url)))
    if gateway and is_below(url, gateway):
        _addresses[gateway] = address
        return True
    _others.add(server)
    return False


def _workspace_of(url: str) -> str:
    """The workspace that a URL names; empty: none."""
    parts = urlsplit(url).path.split("/")
    return next((name for before, name in pairwise(parts) if before == "workspaces"), "")


async def _ask_gateway(address: str, workspace: str) -> str:
    """Where the gateway is, by what is known of a workspace, or of any that the token reaches."""
    from runstream._channel import Connection
    from runstream.api.runs.v1.run_history_service_pb2 import GetWorkspaceRequest, ListWorkspacesRequest

    connection = Connection.to(address)
    if workspace:
        request = GetWorkspaceRequest(name=f"workspaces/{workspace}")
        found = [(await connection.call(connection.runs.GetWorkspace, request)).workspace]
    else:
        listed = await connection.call(connection.runs.ListWorkspaces, ListWorkspacesRequest(page_size=1))
        found = list(listed.workspaces)
    return without_workspace(found[0].gateway_url, found[0].name) if found else ""


def gateway_of(workspace: Any) -> str:
    """Where the gateway is, without a workspace, by the environment, else by the record of a workspace.

    Raises:
        UserErrorException: Neither says so.
    """
    from runstream.exceptions import UserErrorException

    told = os.environ.get(GATEWAY_VARIABLE, "").rstrip("/")
    gateway = told or without_workspace(workspace.gateway_url, workspace.name)
    if not gateway:
        raise UserErrorException(
            f"The services do not know where their gateway is, which MLflow speaks to: set {GATEWAY_VARIABLE}, "
            "https://runs.example.com for example, where `runstream-server` is started, or here.",
            reason="NO_GATEWAY",
        )
    return gateway


def without_workspace(url: str, workspace: str) -> str:
    """The URL of a gateway, of that at which it serves a workspace."""
    return url.removesuffix(f"/{workspace}")
