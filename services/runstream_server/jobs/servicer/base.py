"""What the methods of the service have in common."""

import asyncio
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from runstream.api.jobs.v1.job_service_pb2_grpc import JobServiceServicer
from runstream_server.auth import RunTokens
from runstream_server.jobs.rules.agents import Agents
from runstream_server.jobs.rules.environments import Environments
from runstream_server.jobs.rules.leases import Leases
from runstream_server.jobs.rules.submission import Submissions
from runstream_server.jobs.rules.targets import Targets

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True)
class Rules:
    """What the methods delegate to."""

    targets: Targets
    environments: Environments
    submissions: Submissions
    leases: Leases
    agents: Agents
    run_tokens: RunTokens

    draining: asyncio.Event
    """Set when the process stops."""


class Methods(JobServiceServicer):
    """Methods over rules."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
