"""Speaks for agents: one raw stream each."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from runstream.api.jobs.v1 import agent_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from tests import stubs
from tests.append_clients import Failure, failure_of
from tests.make_runs import WORKSPACE

POOL = f"{WORKSPACE}/computeTargets/pool"
_SECONDS = 30


async def make_pool(channel: grpc.aio.Channel, name: str = "pool", **of_pool: Any) -> None:
    """Makes an agent pool."""
    target = messages.ComputeTarget(kind=messages.COMPUTE_TARGET_KIND_AGENT_POOL, **of_pool)
    request = messages.CreateComputeTargetRequest(parent=WORKSPACE, compute_target=target, compute_target_id=name)
    await stubs.jobs(channel).CreateComputeTarget(request)


class RawAgent:
    """One stream of an agent."""

    def __init__(self, channel: grpc.aio.Channel, hello: agent_pb2.AgentHello) -> None:
        self.call: Any = stubs.jobs(channel).ConnectAgent()
        self.hello = hello
        self._saying = asyncio.Lock()

    async def begin(self) -> agent_pb2.AgentWelcome:
        """Introduces itself."""
        await self.say(hello=self.hello)
        return (await self.hear()).welcome

    async def say(self, **message: Any) -> None:
        """Sends a message."""
        async with self._saying:
            await self.call.write(agent_pb2.ConnectAgentRequest(**message))

    async def hear(self) -> agent_pb2.ConnectAgentResponse:
        """The next message."""
        async with asyncio.timeout(_SECONDS):
            message = await self.call.read()
        assert message is not grpc.aio.EOF, await failure_of(self.call)
        return message  # type: ignore[no-any-return]

    async def offer(self) -> agent_pb2.JobOffer:
        """The next message, an offer."""
        message = await self.hear()
        assert message.WhichOneof("message") == "offer", message
        return message.offer

    async def report(self, *held: agent_pb2.HeldJob, draining: bool = False) -> None:
        """Says how it is."""
        await self.say(report=agent_pb2.AgentReport(held=held, draining=draining))

    async def decline(self, offer: agent_pb2.JobOffer, reason: str = "no disk") -> None:
        """Declines an offer."""
        await self.say(declined=agent_pb2.JobDeclined(job=held_by(offer), reason=reason))

    async def failure(self) -> Failure:
        """How the stream fails, whatever else it says before."""
        async with asyncio.timeout(_SECONDS):
            while await self._read() is not grpc.aio.EOF:
                pass
            return await failure_of(self.call)

    async def _read(self) -> Any:
        try:
            return await self.call.read()
        except grpc.aio.AioRpcError:
            return grpc.aio.EOF


def held_by(offer: agent_pb2.JobOffer) -> agent_pb2.HeldJob:
    """The job of an offer, as its holder calls it."""
    return agent_pb2.HeldJob(run=offer.job.run, lease=offer.lease)


def hello_of(short: str = "a", held: Iterable[agent_pb2.HeldJob] = (), **of_agent: Any) -> agent_pb2.AgentHello:
    """Introduces an agent."""
    described: dict[str, Any] = {"name": f"{POOL}/agents/{short}", "host": short, "slots": 1} | of_agent
    return agent_pb2.AgentHello(agent=agent_pb2.Agent(**described), held=held)


@asynccontextmanager
async def agent(
    channel: grpc.aio.Channel, name: str = "a", held: tuple[agent_pb2.HeldJob, ...] = (), **of_agent: Any
) -> AsyncIterator[RawAgent]:
    """An agent that is connected while the context is open."""
    raw = RawAgent(channel, hello_of(name, held, **of_agent))
    try:
        await raw.begin()
        yield raw
    finally:
        raw.call.cancel()
