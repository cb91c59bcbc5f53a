"""What compute targets are made of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from google.protobuf.duration_pb2 import Duration

from runstream.api.jobs.v1 import compute_target_pb2, job_service_pb2


@runtime_checkable
class ComputeConfiguration(Protocol):
    """What a compute target is made of."""

    def record(self) -> job_service_pb2.ComputeTarget:
        """The compute target to be made, without its name."""


@dataclass(frozen=True, kw_only=True)
class AmlComputeProvisioningConfiguration:
    """Machines on which somebody starts agents."""

    vm_size: str = ""
    min_nodes: int = 0
    max_nodes: int = 0
    lost_after_seconds: float | None = None
    description: str = ""

    def record(self) -> job_service_pb2.ComputeTarget:
        """The compute target to be made, without its name."""
        return job_service_pb2.ComputeTarget(
            kind=job_service_pb2.COMPUTE_TARGET_KIND_AGENT_POOL,
            description=self.description,
            agent_pool=compute_target_pb2.AgentPool(
                machine_type=self.vm_size,
                lost_after=to_duration(self.lost_after_seconds),
                min_nodes=self.min_nodes,
                max_nodes=self.max_nodes,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class KubernetesComputeAttachConfiguration:
    """A namespace of a Kubernetes cluster."""

    namespace: str
    cluster: str = ""
    default_image: str = ""
    resource_requests: Mapping[str, str] = field(default_factory=dict)
    resource_limits: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    service_account: str = ""
    queue: str = ""
    pod_template: Mapping[str, Any] | None = None
    keep_finished_seconds: float | None = None
    service_address: str = ""
    description: str = ""

    def record(self) -> job_service_pb2.ComputeTarget:
        """The compute target to be made, without its name."""
        return job_service_pb2.ComputeTarget(
            kind=job_service_pb2.COMPUTE_TARGET_KIND_KUBERNETES,
            description=self.description,
            kubernetes=compute_target_pb2.KubernetesNamespace(
                namespace=self.namespace,
                cluster=self.cluster,
                default_image=self.default_image,
                resource_requests=to_quantities(self.resource_requests),
                resource_limits=to_quantities(self.resource_limits),
                node_selector=to_quantities(self.node_selector),
                service_account=self.service_account,
                queue=self.queue,
                pod_template_json=json.dumps(self.pod_template) if self.pod_template else "",
                keep_finished=to_duration(self.keep_finished_seconds),
                service_address=self.service_address,
            ),
        )


def to_duration(seconds: float | None) -> Duration | None:
    """A duration; None without one."""
    if seconds is None:
        return None
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def to_quantities(values: Mapping[str, object]) -> dict[str, str]:
    """Amounts and labels as texts."""
    return {str(key): str(value) for key, value in values.items()}
