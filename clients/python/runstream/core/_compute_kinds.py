"""What compute targets of each kind do besides, in both forms."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from runstream.api.jobs.v1 import compute_target_pb2
from runstream.api.jobs.v1 import job_service_pb2 as api
from runstream.core._compute import ComputeTargetCalls
from runstream.core._compute_configurations import (
    AmlComputeProvisioningConfiguration,
    KubernetesComputeAttachConfiguration,
)
from runstream.core._surface import dual

logger = logging.getLogger("runstream")


class ScaleSettings:
    """The least and the greatest number of machines, as people noted them."""

    def __init__(self, pool: compute_target_pb2.AgentPool) -> None:
        self.minimum_node_count, self.maximum_node_count = pool.min_nodes, pool.max_nodes


class AmlComputeCalls(ComputeTargetCalls):
    """Machines on which somebody started agents: `runstream agent start --target NAME`."""

    type = "AmlCompute"

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "",
        vm_priority: str = "dedicated",
        min_nodes: int = 0,
        max_nodes: int | None = None,
        idle_seconds_before_scaledown: int | None = None,
        *,
        description: str | None = None,
        lost_after_seconds: float | None = None,
        **kwargs: object,
    ) -> AmlComputeProvisioningConfiguration:
        """What `ComputeTarget.create` makes a pool of agents of.

        `vm_size`, `min_nodes` and `max_nodes` are notes for people: nobody starts machines by them.
        `lost_after_seconds` says how long the runner of a run may be unheard of, 60 s to 30 days, 6 hours by default.
        Further parameters of SDK v1 are accepted and not used, which is warned of.
        """
        if kwargs:
            logger.warning("Options of an AmlCompute that have no effect: %s", ", ".join(sorted(kwargs)))
        return AmlComputeProvisioningConfiguration(
            vm_size=vm_size,
            min_nodes=min_nodes,
            max_nodes=max_nodes or 0,
            lost_after_seconds=lost_after_seconds,
            description=description or "",
        )

    @dual
    async def update(
        self,
        min_nodes: int | None = None,
        max_nodes: int | None = None,
        idle_seconds_before_scaledown: int | None = None,
    ) -> None:
        """Changes how many machines there should be; a note for people."""
        changed = api.ComputeTarget()
        changed.agent_pool.CopyFrom(self._record.agent_pool)
        if min_nodes is not None:
            changed.agent_pool.min_nodes = min_nodes
        if max_nodes is not None:
            changed.agent_pool.max_nodes = max_nodes
        await self._update(changed, "agent_pool")

    @property
    def vm_size(self) -> str:
        """The kind of machine, as people call it."""
        return self._record.agent_pool.machine_type

    @property
    def scale_settings(self) -> ScaleSettings:
        """How many machines there should be, as people noted it."""
        return ScaleSettings(self._record.agent_pool)

    @property
    def lost_after_seconds(self) -> float:
        """How long the runner of a run may be unheard of before the run is given up."""
        return self._record.agent_pool.lost_after.ToNanoseconds() / 1e9

    def _properties(self) -> dict[str, Any]:
        pool = self._record.agent_pool
        return {
            "vmSize": self.vm_size,
            "scaleSettings": {"minNodeCount": pool.min_nodes, "maxNodeCount": pool.max_nodes},
            "lostAfterSeconds": self.lost_after_seconds,
        }


class KubernetesComputeCalls(ComputeTargetCalls):
    """A namespace of a Kubernetes cluster, in which each run becomes a `batch/v1` Job."""

    type = "Kubernetes"

    @staticmethod
    def attach_configuration(
        resource_id: str | None = None,
        namespace: str = "default",
        identity_type: str | None = None,
        identity_ids: object = None,
        *,
        cluster: str | None = None,
        default_image: str = "",
        resource_requests: Mapping[str, str] | None = None,
        resource_limits: Mapping[str, str] | None = None,
        node_selector: Mapping[str, str] | None = None,
        service_account: str = "",
        queue: str = "",
        pod_template: Mapping[str, Any] | None = None,
        keep_finished_seconds: float | None = None,
        service_address: str = "",
        description: str = "",
    ) -> KubernetesComputeAttachConfiguration:
        """What `ComputeTarget.attach` makes a compute target of.

            KubernetesCompute.attach_configuration(
                namespace="training", default_image="python:3.12", resource_limits={"nvidia.com/gpu": "1"}
            )

        `cluster`, or `resource_id`, is one of those that the services were configured with; default: the one they run
        in. `resource_requests` and `resource_limits` are what each pod asks for and may use, `queue` the local queue of
        Kueue, `pod_template` whatever else, merged over what the services make; the container is called `main`.
        """
        return KubernetesComputeAttachConfiguration(
            namespace=namespace,
            cluster=cluster if cluster is not None else resource_id or "",
            default_image=default_image,
            resource_requests=resource_requests or {},
            resource_limits=resource_limits or {},
            node_selector=node_selector or {},
            service_account=service_account,
            queue=queue,
            pod_template=pod_template,
            keep_finished_seconds=keep_finished_seconds,
            service_address=service_address,
            description=description,
        )

    @property
    def namespace(self) -> str:
        """The namespace of the runs."""
        return self._record.kubernetes.namespace

    @property
    def cluster(self) -> str:
        """Which of the clusters that the services were configured with; empty: the one they run in."""
        return self._record.kubernetes.cluster

    @property
    def default_image(self) -> str:
        """The image of runs whose environment has none."""
        return self._record.kubernetes.default_image

    @property
    def resource_requests(self) -> dict[str, str]:
        """What each pod asks for."""
        return dict(self._record.kubernetes.resource_requests)

    @property
    def resource_limits(self) -> dict[str, str]:
        """What each pod may use."""
        return dict(self._record.kubernetes.resource_limits)

    @property
    def node_selector(self) -> dict[str, str]:
        """Labels that a node must have."""
        return dict(self._record.kubernetes.node_selector)

    @property
    def service_account(self) -> str:
        """The service account of the pods; empty: that of the namespace."""
        return self._record.kubernetes.service_account

    @property
    def queue(self) -> str:
        """The local queue of Kueue; empty: none."""
        return self._record.kubernetes.queue

    @property
    def pod_template(self) -> dict[str, Any]:
        """What is merged over the pods that the services make."""
        text = self._record.kubernetes.pod_template_json
        template: dict[str, Any] = json.loads(text) if text else {}
        return template

    @property
    def keep_finished_seconds(self) -> float:
        """How long the cluster keeps a finished Job."""
        return self._record.kubernetes.keep_finished.ToNanoseconds() / 1e9

    @property
    def service_address(self) -> str:
        """The address at which pods reach the services; empty: the one they were configured with."""
        return self._record.kubernetes.service_address

    def _properties(self) -> dict[str, Any]:
        return {
            "namespace": self.namespace,
            "cluster": self.cluster,
            "defaultImage": self.default_image,
            "resourceRequests": self.resource_requests,
            "resourceLimits": self.resource_limits,
            "nodeSelector": self.node_selector,
            "serviceAccount": self.service_account,
            "queue": self.queue,
            "podTemplate": self.pod_template,
            "keepFinishedSeconds": self.keep_finished_seconds,
            "serviceAddress": self.service_address,
        }


class LocalComputeCalls(ComputeTargetCalls):
    """The machine of the caller, which every workspace has as `local`."""

    type = "local"
