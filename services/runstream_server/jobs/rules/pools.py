"""Pools of agents: how they stand, and what their jobs wait for."""

from datetime import timedelta

from runstream_server.jobs.model import ComputeTarget, Job, JobSpec
from runstream_server.jobs.rules.starting import check_one_node
from runstream_server.jobs.rules.waiting import MOST_COUNTED, reason_to_wait
from runstream_server.jobs.store.jobs import JobStore
from runstream_server.jobs.store.pools import PoolStore

LOST_AFTER_REPORTS = 3
"""An agent is thought lost when it was silent for so many times as long as it may be."""


class AgentsStart:
    """Jobs of agent pools: agents that are connected start their runners."""

    def __init__(self, pools: PoolStore, jobs: JobStore, report_time: timedelta) -> None:
        """`report_time`: how long an agent may be silent."""
        self._pools = pools
        self._jobs = jobs
        self._silence = LOST_AFTER_REPORTS * report_time

    def check_target(self, target: ComputeTarget) -> None:
        """Accepts it."""

    def check_job(self, target: ComputeTarget, spec: JobSpec) -> None:
        """Accepts what one machine can execute."""
        check_one_node(target, spec)

    async def status_message(self, target: ComputeTarget) -> str:
        """How many agents are connected, and how much room they have."""
        room = await self._pools.room(target.name, self._silence)
        if not room.agents:
            return "no agent is connected"
        agents = f"{room.agents} agent{'s' if room.agents != 1 else ''}"
        return f"{agents} connected, {room.free_slots} of {room.slots} slots free"

    async def queueing_message(self, job: Job) -> str:
        """Why a job waits."""
        outlook = await self._pools.outlook(job, self._silence)
        return reason_to_wait(job, outlook, await self._jobs.count_ahead(job, MOST_COUNTED + 1))
