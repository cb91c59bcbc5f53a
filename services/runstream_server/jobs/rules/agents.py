"""Agents: who is connected, which jobs they are offered, and which they have to give up."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runstream_server.errors import RunstreamError
from runstream_server.jobs.errors import AgentReplaced, AgentSilent, NotAnAgentPool
from runstream_server.jobs.model import Agent, AgentFacts, HeldJob, Job, JobState, TargetKind
from runstream_server.jobs.rules.pools import LOST_AFTER_REPORTS
from runstream_server.jobs.rules.settling import CANCELED, Settling
from runstream_server.jobs.rules.starting import HINT_TOPIC, agent_key
from runstream_server.jobs.rules.targets import Targets
from runstream_server.jobs.store.agents import AgentStore
from runstream_server.jobs.store.jobs import Change
from runstream_server.jobs.store.queue import Asking, QueueStore, Times
from runstream_server.jobs.telemetry import OFFERS, OPEN_AGENTS
from runstream_server.names import ComputeTargetName, RunName
from runstream_server.postgres import Hints, Subscription
from runstream_server.runhistory import ManagedRun, ManagedRuns

PATIENCE = timedelta(minutes=10)
"""A job that has waited for so long is not overtaken by smaller ones where it would fit."""

DECLINED_FOR = timedelta(seconds=30)
"""For how long a job is not offered again to an agent that declined it: others go first."""

_LOOK_TIME = timedelta(seconds=5)
"""How often an agent is looked after without any hint."""


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
    now: Callable[[], datetime]

    lease: timedelta
    """How long an offer counts."""

    report_time: timedelta
    """How long an agent may be silent."""


class Agents:
    """The rules of agents."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.report_time = desk.report_time

    async def list_agents(self, target: ComputeTargetName, after: str, count: int) -> Sequence[Agent]:
        """Returns up to `count` agents with names after `after`, in order of name; raises ComputeTargetNotFound."""
        await self._desk.targets.get(target)
        seen_since = self._desk.now() - LOST_AFTER_REPORTS * self._desk.report_time
        return await self._desk.agents.list_agents(target, seen_since, after, count)

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
            epoch = await desk.agents.connect(facts, desk.now())
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
        self._heard = desk.now()
        self._revoked: set[HeldJob] = set()
        self._is_first = True
        self._is_full = False
        self._has_more = False
        self._look_time = desk.now()

    def wake(self) -> None:
        """Ends the present wait."""
        self._hints.wake()

    async def wait(self) -> None:
        """Waits until there may be something to tell."""
        if not self._has_more:
            await self._hints.wait(min(_LOOK_TIME, self._desk.report_time).total_seconds())

    async def report(self, held: Sequence[HeldJob], *, draining: bool) -> None:
        """Takes what an agent says of itself; raises AgentReplaced."""
        self._held, self._facts = held, replace(self._facts, draining=draining)
        self._heard = self._desk.now()
        if not await self._desk.agents.saw(self._facts, self._epoch, self._heard):
            raise await self._replaced()
        self.wake()

    async def decline(self, held: HeldJob, reason: str) -> None:
        """Queues an offered job again, for others first."""
        why = f"agent {self._facts.agent} could not start it: {reason}"
        if await self._desk.queue.take_back(held, why, self._desk.now()):
            OFFERS.labels("declined").inc()
            self._desk.settling.hint_back(self._facts.target, self._facts.agent)

    async def news(self) -> Sequence[Job | Revocation]:
        """Returns what the agent has to know: jobs that are offered to it, and those that it has to give up.

        Raises:
            AgentReplaced: Another stream took the place of this one.
            AgentSilent: Nothing was heard of the agent for too long.
        """
        limit = LOST_AFTER_REPORTS * self._desk.report_time
        if self._desk.now() - self._heard > limit:
            raise AgentSilent(limit.total_seconds())
        if not self._may_have_news():
            return []
        self._look_time = self._desk.now()
        revoked = await self._revocations()
        lost = await self._lost_offers() if self._is_first else []
        self._is_first = False
        return [*revoked, *lost, *await self._offers()]

    def _may_have_news(self) -> bool:
        """Whether more is hinted at than that the queue grew while the agent has no room."""
        keys = self._hints.take_keys()
        is_own = keys is None or agent_key(self._facts.target, self._facts.agent) in keys
        return is_own or not self._is_full or self._desk.now() - self._look_time >= _LOOK_TIME

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
        offered = await self._desk.queue.offered_to(self._facts, self._desk.now())
        return [job for job in offered if job.name not in heard]

    async def _offers(self) -> Sequence[Job]:
        now = self._desk.now()
        times = Times(now, now + self._desk.lease, now - DECLINED_FOR, now - PATIENCE)
        held = [each.name.run for each in self._held]
        offered = await self._desk.queue.offer(Asking(self._facts, self._epoch, held), times)
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
