"""Agents: who is connected, which jobs they are offered, and which they have to give up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic

from runstream_server.errors import RunstreamError
from runstream_server.jobs.errors import AgentReplaced, AgentSilent, NotAnAgentPool
from runstream_server.jobs.model import Agent, AgentFacts, HeldJob, Job, JobState, TargetKind
from runstream_server.jobs.rules.looking import LOOK_SECONDS, Looks
from runstream_server.jobs.rules.pools import LOST_AFTER_REPORTS
from runstream_server.jobs.rules.settling import CANCELED, Settling
from runstream_server.jobs.rules.starting import HINT_TOPIC, agent_key
from runstream_server.jobs.rules.targets import Targets
from runstream_server.jobs.store.agents import AgentStore
from runstream_server.jobs.store.jobs import Change
from runstream_server.jobs.store.queue import Asking, QueueStore, Terms
from runstream_server.jobs.telemetry import OFFERS, OPEN_AGENTS
from runstream_server.names import ComputeTargetName, RunName
from runstream_server.postgres import Hints, Subscription
from runstream_server.runhistory import ManagedRun, ManagedRuns

PATIENCE = timedelta(minutes=10)
"""A job that has waited for so long is not overtaken by smaller ones where it would fit."""

_ASKING_AT_ONCE = 4

_NO_HINT = ""
"""Wakes a session without a hint that anything has changed in the store."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """A job that an agent has to give up."""

    held: HeldJob
    reason: str


@dataclass(frozen=True)
class Desk:
    """What the sessions of all agents share."""

    agents: AgentStore
    queue: QueueStore
    targets: Targets
    settling: Settling
    runs: ManagedRuns
    hints: Hints

    lease: timedelta
    """How long an offer counts."""

    report_time: timedelta
    """How long an agent may be silent."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ASKING_AT_ONCE))
    """Each queued job wakes all agents of its pool: so many ask the queue at a time, and leave others connections."""


class Agents:
    """The rules of agents."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.report_time = desk.report_time

    async def list_agents(self, target: ComputeTargetName, after: str, count: int) -> Sequence[Agent]:
        """Returns up to `count` agents with names after `after`, in order of name; raises ComputeTargetNotFound."""
        await self._desk.targets.get(target)
        return await self._desk.agents.list_agents(target, LOST_AFTER_REPORTS * self.report_time, after, count)

    @asynccontextmanager
    async def connected(self, facts: AgentFacts, held: Sequence[HeldJob]) -> AsyncIterator["AgentSession"]:
        """Knows an agent as connected while the context is open; its former stream ends.

        Raises:
            ComputeTargetNotFound: No target has the name.
            NotAnAgentPool: The target does not consist of agents.
        """
        desk, key = self._desk, agent_key(facts.target, facts.agent)
        if (await desk.targets.get(facts.target)).kind is not TargetKind.AGENT_POOL:
            raise NotAnAgentPool(facts.target)
        with desk.hints.subscribe(HINT_TOPIC, [str(facts.target), key]) as hints, OPEN_AGENTS.track_inprogress():
            epoch = await desk.agents.connect(facts)
            desk.hints.publish(HINT_TOPIC, [key])
            try:
                yield AgentSession(desk, facts, epoch, held, hints)
            finally:
                with suppress(RunstreamError):
                    await desk.agents.left(facts, epoch)


class AgentSession:
    """What one stream of an agent is told."""

    def __init__(self, desk: Desk, facts: AgentFacts, epoch: int, held: Sequence[HeldJob], hints: Subscription) -> None:
        self._desk = desk
        self._facts = facts
        self._epoch = epoch
        self._held = held
        self._hints = hints
        self._heard = monotonic()
        self._revoked: set[HeldJob] = set()
        self._is_first = True
        self._is_full = False
        self._has_more = False
        self._cares = Looks(monotonic)
        """For what the agent has."""
        self._looks = Looks(monotonic)
        """For what it could get."""

    def wake(self) -> None:
        """Ends the present wait."""
        self._hints.wake(_NO_HINT)

    async def wait(self) -> None:
        """Waits until there may be something to tell."""
        if not self._has_more:
            await self._hints.wait(min(LOOK_SECONDS, self._desk.report_time.total_seconds()))

    async def report(self, held: Sequence[HeldJob], *, draining: bool) -> None:
        """Takes what an agent says of itself; raises AgentReplaced."""
        facts = replace(self._facts, draining=draining)
        if facts != self._facts or set(held) != set(self._held):
            self._note_change()
        self._held, self._facts, self._heard = held, facts, monotonic()
        if not await self._desk.agents.saw(facts, self._epoch):
            raise await self._replaced()
        await self._desk.queue.disown(facts, [each.name.run for each in held])
        self.wake()

    def _note_change(self) -> None:
        self._cares.hint()
        self._looks.hint()

    async def decline(self, held: HeldJob, reason: str) -> None:
        """Queues an offered job again, for others first."""
        why = f"agent {self._facts.agent} could not start it: {reason}"
        if await self._desk.queue.take_back(held, why):
            OFFERS.labels("declined").inc()
            self._desk.settling.hint_back(self._facts.target, self._facts.agent)

    async def news(self) -> Sequence[Job | Revocation]:
        """Returns what the agent has to know: jobs that are offered to it, and those that it has to give up.

        Raises:
            AgentReplaced: Another stream took the place of this one.
            AgentSilent: Nothing was heard of the agent for too long.
        """
        limit = (LOST_AFTER_REPORTS * self._desk.report_time).total_seconds()
        if monotonic() - self._heard > limit:
            raise AgentSilent(limit)
        self._take_hints()
        found: list[Job | Revocation] = []
        if self._cares.is_due():
            found.extend(await self._revocations())
            self._cares.looked(found=True)
        if self._is_first:
            found.extend(await self._lost_offers())
            self._is_first = False
        if self._looks.is_due() or self._has_more:
            offers = await self._offers()
            self._looks.looked(found=bool(offers))
            found.extend(offers)
        return found

    def _take_hints(self) -> None:
        """Looks sooner, unless all that is hinted at is that the queue grew while the agent has no room."""
        keys = self._hints.take_keys()
        if keys is None or agent_key(self._facts.target, self._facts.agent) in keys:
            self._note_change()
        elif {*keys} - {_NO_HINT} and not self._is_full:
            self._looks.hint()

    async def _revocations(self) -> Sequence[Revocation]:
        present = self._held  # a report may come while the store is asked
        if not present:
            return []
        leases = await self._desk.queue.leases(self._facts.target.workspace, {held.name.run for held in present})
        lost = {held for held in present if leases.get(held.name) != held.lease}
        new = lost - self._revoked
        self._revoked = lost
        return [Revocation(held, _why(held, leases.get(held.name))) for held in present if held in new]

    async def _lost_offers(self) -> Sequence[Job]:
        """Offers that a former stream made, and that the agent seems not to have heard."""
        heard = {held.name for held in self._held}
        offered = await self._desk.queue.offered_to(self._facts)
        return [job for job in offered if job.name not in heard]

    async def _offers(self) -> Sequence[Job]:
        async with self._desk.room:
            held = [each.name.run for each in self._held]
            asking = Asking(self._facts, self._epoch, held)
            offered = await self._desk.queue.offer(asking, Terms(self._desk.lease, PATIENCE))
        if offered is None:
            raise await self._replaced()
        self._is_full = offered.is_full
        self._has_more = bool(offered.jobs) and not (offered.is_full or offered.is_whole)
        live = await self._live(offered.jobs)
        OFFERS.labels("made").inc(len(live))
        return live

    async def _live(self, offered: Sequence[Job]) -> Sequence[Job]:
        """Those jobs whose runs are still to be executed; the others end."""
        if not offered:
            return []
        runs = {run.name: run for run in await self._desk.runs.get_known([job.name for job in offered])}
        return [job for job in offered if await self._is_live(job, runs)]

    async def _is_live(self, job: Job, runs: dict[RunName, ManagedRun]) -> bool:
        run = runs.get(job.name)
        if run is None or run.has_ended:
            await self._desk.settling.change(job, Change(JobState.ENDED, raises_lease=True))
            return False
        if run.is_to_cancel:
            await self._desk.settling.judge(HeldJob(job.name, job.lease), [JobState.OFFERED], CANCELED)
            return False
        return True

    async def _replaced(self) -> Exception:
        await self._desk.targets.get_other(self._facts.target)  # raises if that is what is gone
        return AgentReplaced(self._facts.agent)


def _why(held: HeldJob, present: int | None) -> str:
    if present is None:
        return f"{held.name} has no job"
    return f"lease {held.lease} no longer counts: the job was given up, or is with somebody else"
