"""What the methods of the service stand on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceServicer
from runstream_server.auth import Caller
from runstream_server.names import RunName
from runstream_server.runs.identifiers import Identifiers
from runstream_server.runs.rules.creation import Creations
from runstream_server.runs.rules.experiments import Experiments
from runstream_server.runs.rules.listing import Listings
from runstream_server.runs.rules.runs import Runs
from runstream_server.runs.rules.tokens import WorkspaceTokens
from runstream_server.runs.rules.watch import Watches
from runstream_server.runs.rules.workspaces import Workspaces

Context: TypeAlias = Any
"""A `grpc.aio.ServicerContext`. Only streams need it: the wrapper around every call deals with the rest."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """All rules of the service."""

    workspaces: Workspaces
    experiments: Experiments
    creations: Creations
    runs: Runs
    listings: Listings
    watches: Watches
    tokens: WorkspaceTokens
    identifiers: Identifiers

    reaches: Callable[[Caller, RunName], Awaitable[bool]]
    """Whether a run of its workspace is in the reach of a caller."""

    gateway_url: str
    """Where the gateway is; empty: nobody knows."""

    now: Callable[[], datetime]


class Methods(RunHistoryServiceServicer):
    """Methods over rules."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
