"""What an agent and the job service say to each other."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

import grpc

from runstream._agent.roster import Roster
from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream._channel.errors import CallFailure, to_exception
from runstream._channel.exchange import Exchange, ExchangeEnded, end_side
from runstream._channel.tokens import TOKEN_REASONS
from runstream.api.jobs.v1 import agent_pb2 as messages

WELCOME_SECONDS: Final = 15.0
DRAINED_PAUSE_SECONDS: Final = 2.0
MAX_REPLACED: Final = 5
"""How often in a row a stream may be replaced: who is replaced again and again has a twin."""
REPLACED: Final = "AGENT_REPLACED"
MAX_REASON_CHARACTERS: Final = 3_000
FINAL_CODES: Final = frozenset(
    {"NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED"}
)

logger = logging.getLogger("runstream.agent")


class Conversation:
    """Speaks with the service for as long as the agent lives, over as many streams as that takes."""

    def __init__(self, connect: Callable[[], Connection], agent: messages.Agent, roster: Roster) -> None:
        """`agent` is how it introduces itself; its `draining` says whether it takes jobs."""
        self._connect = connect
        self._agent = agent
        self._roster = roster
        self._is_drained = False
        self._was_welcome = False
        self._is_known = False
        self._replaced = 0

    def drain(self) -> None:
        """Takes no more jobs."""
        self._agent.draining = True
        self._roster.changed.set()

    async def run(self) -> None:
        """Speaks without end.

        Raises:
            AzureMLException: The service does not want this agent: there is no such compute target, for example. One
                that was connected before waits for another token where its own is refused.
        """
        failures = 0
        while True:
            try:
                await self._speak()
            except ExchangeEnded as broken:
                self._raise_if_final(broken.failure)
                failures = 0 if self._was_welcome else failures + 1
                pause = random.uniform(0, DRAINED_PAUSE_SECONDS) if self._is_drained else backoff_seconds(failures)
                logger.warning("not connected, trying again in %.1f s: %s", pause, broken)
                self._was_welcome = self._is_drained = False
                await asyncio.sleep(max(pause, broken.failure.retry_seconds or 0.0))

    async def _speak(self) -> None:
        call = Exchange(self._connect().jobs.ConnectAgent())
        reporting: asyncio.Task[None] | None = None
        try:
            interval = await self._greet(call)
            reporting = asyncio.create_task(self._report(call, interval), name="reporting")
            reporting.add_done_callback(lambda _: call.cancel())
            await self._listen(call)
        finally:
            call.cancel()
            if reporting is not None:
                await end_side(reporting)
        raise ExchangeEnded(CallFailure("UNAVAILABLE", "the service closed the stream"))

    async def _greet(self, call: Exchange) -> float:
        hello = messages.AgentHello(agent=self._agent, held=self._held())
        await call.attempt(call.write(messages.ConnectAgentRequest(hello=hello)))
        response = await call.attempt(asyncio.wait_for(call.read(), WELCOME_SECONDS))
        if response is grpc.aio.EOF or not response.HasField("welcome"):
            raise ExchangeEnded(
                await call.ending() if response is grpc.aio.EOF else CallFailure("UNAVAILABLE", "no welcome")
            )
        logger.info("connected as %s", self._agent.name)
        self._was_welcome, self._is_known, self._replaced = True, True, 0
        return float(response.welcome.report_interval.ToTimedelta().total_seconds()) or WELCOME_SECONDS

    async def _listen(self, call: Exchange) -> None:
        while (response := await call.attempt(call.read())) is not grpc.aio.EOF:
            kind = response.WhichOneof("message")
            if kind == "offer":
                self._take(response.offer)
            elif kind == "revoked":
                logger.warning("job of %s taken away: %s", response.revoked.job.run, response.revoked.reason)
                self._roster.stop(response.revoked.job.run, response.revoked.job.lease)
            elif kind == "draining":
                self._is_drained = True

    def _take(self, offer: messages.JobOffer) -> None:
        if self._agent.draining:
            self._roster.decline(offer, "the agent takes no more jobs")
        else:
            self._roster.take(offer)

    async def _report(self, call: Exchange, interval: float) -> None:
        """Tells of each change, and twice as often as it has to."""
        while True:
            try:
                async with asyncio.timeout(interval / 2):
                    await self._roster.changed.wait()
            except TimeoutError:
                """Nothing changed, which is worth telling too."""
            self._roster.changed.clear()
            while self._roster.declined:
                declined = _declined(*self._roster.declined[0])
                await call.attempt(call.write(messages.ConnectAgentRequest(declined=declined)))
                self._roster.declined.pop(0)
            report = messages.AgentReport(held=self._held(), draining=self._agent.draining)
            await call.attempt(call.write(messages.ConnectAgentRequest(report=report)))

    def _held(self) -> list[messages.HeldJob]:
        return [messages.HeldJob(run=held.run, lease=held.lease) for held in self._roster.held]

    def _raise_if_final(self, failure: CallFailure) -> None:
        self._replaced = self._replaced + 1 if failure.reason == REPLACED else self._replaced
        is_refused = failure.code in FINAL_CODES and failure.reason and not self._was_welcome
        waits_for_token = self._is_known and failure.reason in TOKEN_REASONS
        if (is_refused and not waits_for_token) or self._replaced > MAX_REPLACED:
            raise to_exception(failure, self._agent.name, self._connect().credential.token.source)


def _declined(offer: messages.JobOffer, reason: str) -> messages.JobDeclined:
    job = messages.HeldJob(run=offer.job.run, lease=offer.lease)
    return messages.JobDeclined(job=job, reason=reason[:MAX_REASON_CHARACTERS])
