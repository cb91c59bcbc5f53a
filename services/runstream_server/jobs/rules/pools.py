"""Pools of agents: how they stand, and what their jobs wait for."""

from collections.abc import Sequence
from datetime import timedelta

from runstream_server.jobs.model import Agent, ComputeTarget, Job, JobSpec
from runstream_server.jobs.rules.starting import check_one_node
from runstream_server.jobs.rules.waiting import reason_to_wait
from runstream_server.jobs.store.agents import AgentStore
from runstream_server.jobs.store.jobs import JobStore
from runstream_server.names import ComputeTargetName

LOST_AFTER_REPORTS = 3
"""An agent is thought lost when it was silent for so many times as long as it may be."""

_LOOKED_AT = 10_000


class AgentsStart:
    """Jobs of agent pools: agents that are connected start their runners."""

    def __init__(self, agents: AgentStore, jobs: JobStore, report_time: timedelta) -> None:
        """`report_time`: how long an agent may be silent."""
        self._agents = agents
        self._jobs = jobs
        self._silence = LOST_AFTER_REPORTS * report_time

    def check_target(self, target: ComputeTarget) -> None:
        """Accepts it."""

    def check_job(self, target: ComputeTarget, spec: JobSpec) -> None:
        """Accepts what one machine can execute."""
        check_one_node(target, spec)

    async def status_message(self, target: ComputeTarget) -> str:
        """How many agents are connected, and how much room they have."""
        agents = await self._connected(target.name)
        if not agents:
            return "no agent is connected"
        free = sum(max(each.facts.slots - each.used_slots, 0) for each in agents if not each.facts.draining)
        slots = sum(each.facts.slots for each in agents)
        return f"{len(agents)} agent{'s' if len(agents) != 1 else ''} connected, {free} of {slots} slots free"

    async def queueing_message(self, job: Job) -> str:
        """Why a job waits."""
        return reason_to_wait(job, await self._connected(job.target), await self._jobs.count_ahead(job))

    async def _connected(self, target: ComputeTargetName) -> Sequence[Agent]:
        return await self._agents.list_agents(target, self._silence, "", _LOOKED_AT, only_connected=True)
