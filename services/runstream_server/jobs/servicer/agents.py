"""The methods about agents."""

import asyncio
from typing import Any

import grpc

from runstream.api.jobs.v1 import agent_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.auth import RunTokens
from runstream_server.errors import Draining, ProtocolError
from runstream_server.jobs.convert.agents import (
    decode_declined,
    decode_held_jobs,
    decode_hello,
    encode_agent,
    encode_draining,
    encode_offer,
    encode_revoked,
    encode_welcome,
)
from runstream_server.jobs.model import Job
from runstream_server.jobs.rules.agents import Agents, AgentSession, Revocation
from runstream_server.jobs.servicer.base import Context, Methods
from runstream_server.names import ComputeTargetName
from runstream_server.paging import fitting, page_size, page_token, read_page_token

_PACE_SECONDS = 0.02
"""Between two looks for one agent, however many jobs come."""


class AgentMethods(Methods):
    """The methods about agents."""

    async def ListAgents(self, request: messages.ListAgentsRequest, context: Context) -> messages.ListAgentsResponse:
        target = ComputeTargetName.parse(request.parent, "parent")
        size = page_size(request.page_size, 100, 1_000)
        listing = ("ListAgents", str(target))
        (after,) = read_page_token(request.page_token, listing, 1) or ("",)
        agents = await self._rules.agents.list_agents(target, after, size + 1)
        page = fitting([encode_agent(agent) for agent in agents[:size]], agent_pb2.Agent.ByteSize)
        return messages.ListAgentsResponse(
            agents=page,
            next_page_token=page_token(listing, [agents[len(page) - 1].facts.agent]) if len(agents) > len(page) else "",
        )

    async def ConnectAgent(self, _: object, context: Any) -> None:  # type: ignore[override]
        rules = self._rules
        await AgentStream(context, rules.agents, rules.run_tokens, rules.draining).serve()


class AgentStream:
    """The stream of one agent, from its first message to its end, of which nothing is concluded."""

    def __init__(self, context: Any, agents: Agents, run_tokens: RunTokens, draining: asyncio.Event) -> None:
        self._context = context
        self._agents = agents
        self._run_tokens = run_tokens
        self._draining = draining
        self._has_ended = False

    async def serve(self) -> None:
        """Serves the stream; raises the error that ends it, if it ends by one."""
        message: Any = await self._context.read()
        if message is grpc.aio.EOF:
            return
        if message.WhichOneof("message") != "hello":
            raise ProtocolError("the first message has to be `hello`")
        facts, held = decode_hello(message.hello)
        async with self._agents.connected(facts, held) as session:
            await self._context.write(encode_welcome(self._agents.report_time))
            async with asyncio.TaskGroup() as tasks:
                beside = [
                    tasks.create_task(self._read(session, facts.target.workspace), name="agent-read"),
                    tasks.create_task(self._wake_to_drain(session), name="agent-drain"),
                ]
                await self._write(session)
                for task in beside:
                    task.cancel()

    async def _read(self, session: AgentSession, workspace: str) -> None:
        while True:
            message: Any = await self._context.read()
            if message is grpc.aio.EOF:
                break
            match message.WhichOneof("message"):
                case "report":
                    held = decode_held_jobs(message.report.held, "report.held", workspace)
                    await session.report(held, draining=message.report.draining)
                case "declined":
                    await session.decline(*decode_declined(message.declined, workspace))
                case _:
                    raise ProtocolError("after `hello` come `report` and `declined`")
        self._has_ended = True
        session.wake()

    async def _wake_to_drain(self, session: AgentSession) -> None:
        await self._draining.wait()
        session.wake()

    async def _write(self, session: AgentSession) -> None:
        clock = asyncio.get_running_loop().time
        while not self._has_ended:
            begun = clock()
            if self._draining.is_set():
                await self._context.write(encode_draining())
                raise Draining
            for news in await session.news():
                await self._context.write(await self._encoded(news))
            await session.wait()
            await asyncio.sleep(max(begun + _PACE_SECONDS - clock(), 0))

    async def _encoded(self, news: Job | Revocation) -> agent_pb2.ConnectAgentResponse:
        if isinstance(news, Revocation):
            return encode_revoked(news.held, news.reason)
        return encode_offer(news, await self._run_tokens.make(news.name))
