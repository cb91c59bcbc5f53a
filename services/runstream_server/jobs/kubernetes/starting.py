"""Jobs of Kubernetes namespaces: what they need, and why they wait."""

from collections.abc import Callable

from runstream_server.cluster_config import KubernetesConfig
from runstream_server.errors import InvalidField
from runstream_server.jobs.errors import TargetCannotRun
from runstream_server.jobs.kubernetes.clusters import Clusters
from runstream_server.jobs.kubernetes.manifests import Blueprint, pod_template
from runstream_server.jobs.kubernetes.model import PodNeeds
from runstream_server.jobs.model import ComputeTarget, Job, JobSpec, KubernetesNamespace, Place
from runstream_server.jobs.store.assignments import AssignmentStore
from runstream_server.names import RunName

_FIELD = "compute_target.kubernetes"


class ClustersStart:
    """Jobs of Kubernetes namespaces: a cluster starts their runners."""

    def __init__(
        self,
        clusters: Clusters,
        assignments: AssignmentStore,
        needs_of: Callable[[bytes], PodNeeds],
        settings: KubernetesConfig,
    ) -> None:
        """`needs_of` reads the definition of a job."""
        self._clusters = clusters
        self._assignments = assignments
        self._needs_of = needs_of
        self._settings = settings

    def check_target(self, target: ComputeTarget) -> None:
        """Refuses clusters that nobody configured; raises ClusterNotConfigured, or InvalidField."""
        namespace = namespace_of(target)
        self._clusters.get(namespace.cluster)
        _check_template(target, namespace)
        if not (namespace.service_address or self._settings.service_address):
            raise InvalidField(
                f"{_FIELD}.service_address",
                "required: the service was not configured with an address at which pods reach it",
            )

    def check_job(self, target: ComputeTarget, spec: JobSpec) -> None:
        """Refuses jobs without an image."""
        needs, namespace = self._needs_of(spec.definition), namespace_of(target)
        if needs.has_dockerfile and not needs.image:
            raise TargetCannotRun(
                target.name, "its image would have to be built from a Dockerfile; build it, push it, and give its name"
            )
        if not (needs.image or namespace.default_image or self._settings.image):
            raise TargetCannotRun(
                target.name, "neither its environment nor the compute target has an image; set one of them"
            )

    async def status_message(self, target: ComputeTarget) -> str:
        """Whether the cluster answers."""
        return await self._clusters.status(place_of(target))

    async def queueing_message(self, job: Job) -> str:
        """Why a job waits."""
        return await self._assignments.message(job.name) or "is being handed to the cluster"


def _check_template(target: ComputeTarget, namespace: KubernetesNamespace) -> None:
    """Merges the template into a pod once, where its author hears of what is wrong with it."""
    trial = Blueprint(
        installation="trial",
        name="trial",
        run=RunName(target.name.workspace, "trial"),
        experiment="",
        attempt=1,
        lease=1,
        namespace=namespace,
        place=place_of(target),
        needs=PodNeeds(),
        image="",
        address="",
    )
    try:
        pod_template(trial)
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
        raise InvalidField(f"{_FIELD}.pod_template_json", "expected a pod template: metadata and spec") from None


def namespace_of(target: ComputeTarget) -> KubernetesNamespace:
    """The configuration of a target of this kind."""
    if not isinstance(target.configuration, KubernetesNamespace):
        raise TypeError(f"{target.name} is of kind {target.kind}")
    return target.configuration


def place_of(target: ComputeTarget) -> Place:
    """Where the jobs of a target are executed."""
    namespace = namespace_of(target)
    return Place(namespace.cluster, namespace.namespace)
