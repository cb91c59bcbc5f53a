"""Puts the job service together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from runstream.api.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from runstream_server.jobs.convert.pods import decode_experiment, decode_pod_needs
from runstream_server.jobs.model import TargetKind
from runstream_server.jobs.rules.agents import Agents, Desk
from runstream_server.jobs.rules.cancellations import Cancellations
from runstream_server.jobs.rules.environments import Environments
from runstream_server.jobs.rules.leases import Leases
from runstream_server.jobs.rules.pools import AgentsStart
from runstream_server.jobs.rules.reaper import Reaper, Stores
from runstream_server.jobs.rules.settling import Patience, Settling
from runstream_server.jobs.rules.starting import CallerStarts, NoClusters, Starters
from runstream_server.jobs.rules.submission import Submissions
from runstream_server.jobs.rules.targets import Targets
from runstream_server.jobs.servicer import JobServicer, Rules
from runstream_server.jobs.store.agents import AgentStore
from runstream_server.jobs.store.environments import EnvironmentStore
from runstream_server.jobs.store.jobs import JobStore
from runstream_server.jobs.store.pools import PoolStore
from runstream_server.jobs.store.queue import QueueStore
from runstream_server.jobs.store.targets import TargetStore
from runstream_server.jobs.store.upkeep import UpkeepStore
from runstream_server.platform import Platform
from runstream_server.rpc import RpcServer
from runstream_server.runhistory import ManagedRuns, RunHistory

if TYPE_CHECKING:
    from runstream_server.jobs.kubernetes.service import Kubernetes


@asynccontextmanager
async def mount(server: RpcServer, platform: Platform) -> AsyncIterator[None]:
    """Serves JobService on `server` while the context is open."""
    async with _kubernetes(platform) as kubernetes, asyncio.TaskGroup() as tasks:
        service = Service(platform, tasks, kubernetes)
        add_JobServiceServicer_to_server(JobServicer(service.rules), server)  # type: ignore[arg-type]
        works = [tasks.create_task(service.reaper.run_forever(), name="jobs-reaper")]
        if service.leader is not None:
            works.append(tasks.create_task(service.leader.run(), name="jobs-leader"))
        try:
            yield
        finally:
            for work in works:
                work.cancel()
            service.cancellations.stop()


@asynccontextmanager
async def _kubernetes(platform: Platform) -> "AsyncIterator[Kubernetes | None]":
    """The clusters, while the context is open. Where there are none, nothing of their client is loaded."""
    if not platform.config.kubernetes.clusters:
        yield None
        return
    from runstream_server.jobs.kubernetes.making import Reading
    from runstream_server.jobs.kubernetes.service import open_kubernetes

    async with open_kubernetes(platform, Reading(decode_pod_needs, decode_experiment)) as kubernetes:
        yield kubernetes


class Service:
    """All parts of the service, over their stores."""

    def __init__(self, platform: Platform, tasks: asyncio.TaskGroup, kubernetes: "Kubernetes | None" = None) -> None:
        """`tasks` are those of the service."""
        self._platform = platform
        self._history = RunHistory(platform.channel, platform.stream_channel)
        self._runs = ManagedRuns(platform.channel)
        postgres, settings = platform.postgres, platform.config.jobs
        self._stores = Stores(JobStore(postgres), QueueStore(postgres), AgentStore(postgres), UpkeepStore(postgres))
        self._report_time = timedelta(seconds=settings.report_seconds)
        self._patience = Patience(
            start=timedelta(seconds=settings.start_seconds),
            lease=timedelta(seconds=settings.lease_seconds),
            lost=timedelta(seconds=settings.lost_seconds),
        )
        self._settling = Settling(self._stores.jobs, self._runs, platform.hints, self._patience)
        self.cancellations = Cancellations(
            self._stores.upkeep, self._stores.jobs, self._settling, self._history, self._runs, tasks
        )
        self._starters = self._make_starters(kubernetes)
        self._targets = Targets(TargetStore(postgres), self._history, self._starters, platform.now)
        self.reaper = Reaper(
            self._stores, self._targets, self._settling, self.cancellations, self._runs, self._patience
        )
        self.leader = kubernetes.make_leader(self._targets, self._settling, self._runs) if kubernetes else None
        self.rules = self._make_rules()

    def _make_starters(self, kubernetes: "Kubernetes | None") -> Starters:
        return {
            TargetKind.LOCAL: CallerStarts(),
            TargetKind.AGENT_POOL: AgentsStart(
                PoolStore(self._platform.postgres), self._stores.jobs, self._report_time
            ),
            TargetKind.KUBERNETES: NoClusters() if kubernetes is None else kubernetes.starter,
        }

    def _make_rules(self) -> Rules:
        platform, jobs = self._platform, self._stores.jobs
        desk = Desk(
            agents=self._stores.agents,
            queue=self._stores.queue,
            targets=self._targets,
            settling=self._settling,
            runs=self._runs,
            hints=platform.hints,
            lease=self._patience.lease,
            report_time=self._report_time,
        )
        return Rules(
            targets=self._targets,
            environments=Environments(EnvironmentStore(platform.postgres), self._history, platform.now),
            submissions=Submissions(
                jobs,
                self._targets,
                self._starters,
                self._settling,
                self._runs,
                platform.now,
                self.cancellations.watch,
            ),
            leases=Leases(jobs, self._runs, self._settling, self._patience.lease),
            agents=Agents(desk),
            run_tokens=platform.auth.run_tokens,
            draining=platform.draining,
        )
