"""Puts the job service together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from runstream.api.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from runstream_server.jobs.model import TargetKind
from runstream_server.jobs.rules.agents import Agents, Desk
from runstream_server.jobs.rules.environments import Environments
from runstream_server.jobs.rules.leases import Leases
from runstream_server.jobs.rules.pools import AgentsStart
from runstream_server.jobs.rules.settling import Patience, Settling
from runstream_server.jobs.rules.starting import CallerStarts, NoClusters, Starters
from runstream_server.jobs.rules.submission import Submissions
from runstream_server.jobs.rules.targets import Targets
from runstream_server.jobs.servicer import JobServicer, Rules
from runstream_server.jobs.store.agents import AgentStore
from runstream_server.jobs.store.environments import EnvironmentStore
from runstream_server.jobs.store.jobs import JobStore
from runstream_server.jobs.store.queue import QueueStore
from runstream_server.jobs.store.targets import TargetStore
from runstream_server.platform import Platform
from runstream_server.rpc import RpcServer
from runstream_server.runhistory import ManagedRuns, RunHistory


@asynccontextmanager
async def mount(server: RpcServer, platform: Platform) -> AsyncIterator[None]:
    """Serves JobService on `server` while the context is open."""
    settings, now = platform.config.jobs, platform.now
    history, runs = RunHistory(platform.channel, platform.stream_channel), ManagedRuns(platform.channel)
    store, agents = JobStore(platform.postgres), AgentStore(platform.postgres)
    report_time = timedelta(seconds=settings.report_seconds)
    patience = Patience(timedelta(seconds=settings.start_seconds), timedelta(seconds=settings.lease_seconds))
    settling = Settling(store, runs, platform.hints, now, patience)
    starters: Starters = {
        TargetKind.LOCAL: CallerStarts(),
        TargetKind.AGENT_POOL: AgentsStart(agents, store, now, report_time),
        TargetKind.KUBERNETES: NoClusters(),
    }
    targets = Targets(TargetStore(platform.postgres), history, starters, now)
    desk = Desk(
        agents=agents,
        queue=QueueStore(platform.postgres),
        targets=targets,
        settling=settling,
        runs=runs,
        hints=platform.hints,
        now=now,
        lease=patience.lease,
        report_time=report_time,
    )
    rules = Rules(
        targets=targets,
        environments=Environments(EnvironmentStore(platform.postgres), history, now),
        submissions=Submissions(store, targets, starters, settling, runs, now),
        leases=Leases(store, runs, settling, now, patience.lease),
        agents=Agents(desk),
        draining=platform.draining,
    )
    add_JobServiceServicer_to_server(JobServicer(rules), server)  # type: ignore[arg-type]
    async with asyncio.TaskGroup():
        yield
