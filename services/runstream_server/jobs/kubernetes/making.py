"""Makes the objects of an attempt in its cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from runstream_server.auth import RunTokens
from runstream_server.cluster_config import KubernetesConfig
from runstream_server.jobs.kubernetes.cluster import Cluster, ClusterAway, ClusterRefused, Object
from runstream_server.jobs.kubernetes.kinds import Kind
from runstream_server.jobs.kubernetes.manifests import (
    Blueprint,
    job_manifest,
    secret_manifest,
    secret_patch,
    service_manifest,
)
from runstream_server.jobs.kubernetes.model import PodNeeds
from runstream_server.jobs.kubernetes.starting import namespace_of
from runstream_server.jobs.kubernetes.views import job_view
from runstream_server.jobs.model import Assignment, Job
from runstream_server.jobs.rules.targets import Targets
from runstream_server.runhistory import ManagedRun

_CONFLICT = 422


@dataclass(frozen=True)
class Reading:
    """Reads what the rules do not: messages of the contract."""

    needs_of: Callable[[bytes], PodNeeds]
    """The definition of a job."""

    experiment_of: Callable[[bytes], str]
    """The run as the run history says it; the name that people gave its experiment."""


class Making:
    """Makes objects. What is there already is taken for what was made before a crash."""

    def __init__(self, targets: Targets, reading: Reading, settings: KubernetesConfig, run_tokens: RunTokens) -> None:
        self._targets = targets
        self._reading = reading
        self._settings = settings
        self._run_tokens = run_tokens

    async def make(
        self, cluster: Cluster, installation: str, assignment: Assignment, job: Job, run: ManagedRun
    ) -> tuple[str, datetime | None]:
        """Makes the Job, and what belongs to it and goes with it.

        Returns:
            The uid of the Job, and when the run token expires that its Secret has; None: that is not known, or it has
            none.

        Raises:
            ClusterTrouble: The cluster does not do so.
            ComputeTargetNotFound: The target is gone.
        """
        token = await self._run_tokens.make(assignment.run)
        namespace = namespace_of(await self._targets.get_other(assignment.target))
        plan = Blueprint(
            installation=installation,
            name=assignment.name,
            run=assignment.run,
            experiment=self._reading.experiment_of(run.message),
            attempt=assignment.attempt,
            lease=assignment.lease,
            namespace=namespace,
            place=assignment.place,
            needs=self._reading.needs_of(job.definition),
            image=self._settings.image,
            address=namespace.service_address or self._settings.service_address,
            gateway_url=self._settings.gateway_url,
            run_token=token.secret if token else "",
            authorities=self._settings.authorities,
        )
        uid, is_new = await _make(cluster, plan)
        return uid, token.expire_time if token and is_new else None

    async def renew(self, cluster: Cluster, assignment: Assignment, expire_time: datetime | None) -> datetime | None:
        """Puts a newer run token into the Secret of a Job that waits for so long that the present one is half over.

        Returns:
            When the one expires that the Secret has now; None: none is needed.

        Raises:
            ClusterTrouble: The cluster does not do so.
        """
        token = await self._run_tokens.renew(assignment.run, expire_time)
        if token is None:
            return expire_time
        await cluster.patch(Kind.SECRET, assignment.place.namespace, assignment.name, secret_patch(token.secret))
        return token.expire_time


async def _make(cluster: Cluster, plan: Blueprint) -> tuple[str, bool]:
    """Makes all objects; returns the uid of the Job, and whether the Secret was not there yet."""
    made = await cluster.create(Kind.JOB, job_manifest(plan)) or await _found(cluster, plan)
    uid = job_view(made).uid
    secret = await cluster.create(Kind.SECRET, secret_manifest(plan, uid))
    service = service_manifest(plan, uid)
    if service is not None:
        await cluster.create(Kind.SERVICE, service)
    return uid, secret is not None


async def _found(cluster: Cluster, plan: Blueprint) -> Object:
    """The Job that has the name already."""
    found = await cluster.get(Kind.JOB, plan.place.namespace, plan.name)
    if found is None:
        raise ClusterAway(f"Job {plan.name} vanished while it was made")
    view = job_view(found)
    if view.run != str(plan.run):
        raise ClusterRefused(_CONFLICT, f"Job {plan.name} is there already, and is not of {plan.run}")
    if view.is_deleted:
        raise ClusterAway(f"Job {plan.name} is being deleted")
    return found
