"""Puts jobs on Kubernetes together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from runstream_server.jobs.kubernetes.clusters import Clusters, open_clusters
from runstream_server.jobs.kubernetes.controller import Office
from runstream_server.jobs.kubernetes.leading import Leader
from runstream_server.jobs.kubernetes.making import Making, Reading
from runstream_server.jobs.kubernetes.outcomes import Outcomes
from runstream_server.jobs.kubernetes.starting import ClustersStart
from runstream_server.jobs.rules.settling import Settling
from runstream_server.jobs.rules.targets import Targets
from runstream_server.jobs.store.assignments import AssignmentStore, LeadStore
from runstream_server.jobs.store.jobs import JobStore
from runstream_server.platform import Platform
from runstream_server.runhistory import ManagedRuns


class Kubernetes:
    """Jobs on the clusters of the settings."""

    def __init__(self, platform: Platform, clusters: Clusters, reading: Reading) -> None:
        self._platform = platform
        self._clusters = clusters
        self._reading = reading
        self._settings = platform.config.kubernetes
        self._assignments = AssignmentStore(platform.postgres)
        self.starter = ClustersStart(clusters, self._assignments, reading.needs_of, self._settings)

    def make_leader(self, targets: Targets, settling: Settling, runs: ManagedRuns) -> Leader:
        """What looks after the jobs."""
        platform, settings = self._platform, self._settings
        jobs = JobStore(platform.postgres)
        office = Office(
            assignments=self._assignments,
            jobs=jobs,
            making=Making(targets, self._reading, settings, platform.auth.run_tokens),
            outcomes=Outcomes(jobs, runs, settling),
            patience=timedelta(seconds=settings.stuck_seconds),
        )
        duration = timedelta(seconds=settings.lead_seconds)
        return Leader(office, LeadStore(platform.postgres), self._clusters, platform.hints, duration)


@asynccontextmanager
async def open_kubernetes(platform: Platform, reading: Reading) -> AsyncIterator[Kubernetes]:
    """Jobs on the clusters of the settings, while the context is open; raises ConfigurationError."""
    async with open_clusters(platform.config.kubernetes) as clusters:
        yield Kubernetes(platform, clusters, reading)
