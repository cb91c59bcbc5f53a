"""Compute targets between messages and the words of jobs."""

import json
from collections.abc import Mapping, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.jobs.v1 import compute_target_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.errors import InvalidField
from runstream_server.jobs import limits
from runstream_server.jobs.convert.times import decode_duration, encode_duration, encode_time
from runstream_server.jobs.limits import Checks
from runstream_server.jobs.model import (
    KEEP_FINISHED,
    LOST_AFTER,
    AgentPool,
    ComputeTarget,
    Configuration,
    KubernetesNamespace,
    TargetKind,
)
from runstream_server.names import ComputeTargetName

_FIELD = "compute_target"
_FIELDS: Mapping[TargetKind, str] = {TargetKind.AGENT_POOL: "agent_pool", TargetKind.KUBERNETES: "kubernetes"}
_UPDATABLE = ("description", *_FIELDS.values())
_KINDS = {
    messages.COMPUTE_TARGET_KIND_LOCAL: TargetKind.LOCAL,
    messages.COMPUTE_TARGET_KIND_AGENT_POOL: TargetKind.AGENT_POOL,
    messages.COMPUTE_TARGET_KIND_KUBERNETES: TargetKind.KUBERNETES,
}
_NUMBERS = {kind: number for number, kind in _KINDS.items()}


def decode_new_target(request: messages.CreateComputeTargetRequest, workspace: str) -> ComputeTarget:
    """The target to create."""
    checks, message = Checks(), request.compute_target
    name = ComputeTargetName(workspace, checks.target_id("compute_target_id", request.compute_target_id))
    kind = _KINDS.get(message.kind)
    if kind is None or kind is TargetKind.LOCAL:
        checks.fail(f"{_FIELD}.kind", "expected the kind of an agent pool or of a Kubernetes namespace")
        kind = TargetKind.AGENT_POOL
    elif message.WhichOneof("configuration") not in (None, _FIELDS[kind]):
        checks.fail(f"{_FIELD}.configuration", f"expected {_FIELDS[kind]}, as its kind says")
    target = ComputeTarget(name, kind, _description(checks, message), _configuration(checks, message, kind))
    checks.done()
    return target


def decode_target_changes(message: messages.ComputeTarget, mask: FieldMask) -> tuple[ComputeTarget, Sequence[str]]:
    """A target with the new values, and which fields to change."""
    name, paths = ComputeTargetName.parse(message.name, f"{_FIELD}.name"), list(mask.paths)
    if not paths or not set(paths) <= set(_UPDATABLE):
        raise InvalidField("update_mask", f"expected one or more of {', '.join(_UPDATABLE)}; got {paths!r:.200}")
    kinds = [kind for kind, field in _FIELDS.items() if field in paths]
    if len(kinds) > 1:
        raise InvalidField("update_mask", "a compute target has one configuration, that of its kind")
    checks, kind = Checks(), kinds[0] if kinds else TargetKind.LOCAL
    target = ComputeTarget(name, kind, _description(checks, message), _configuration(checks, message, kind))
    checks.done()
    return target, paths


def _description(checks: Checks, message: messages.ComputeTarget) -> str:
    return checks.text(f"{_FIELD}.description", message.description, limits.DESCRIPTION)


def _configuration(checks: Checks, message: messages.ComputeTarget, kind: TargetKind) -> Configuration:
    if kind is TargetKind.AGENT_POOL:
        return _pool(checks, f"{_FIELD}.agent_pool", message.agent_pool)
    return _namespace(checks, f"{_FIELD}.kubernetes", message.kubernetes) if kind is TargetKind.KUBERNETES else None


def _pool(checks: Checks, field: str, pool: compute_target_pb2.AgentPool) -> AgentPool:
    lost_after = decode_duration(pool.lost_after) if pool.HasField("lost_after") else LOST_AFTER
    if pool.max_nodes and pool.min_nodes > pool.max_nodes:
        checks.fail(f"{field}.min_nodes", f"expected up to max_nodes, {pool.max_nodes}; got {pool.min_nodes}")
    return AgentPool(
        machine_type=checks.text(f"{field}.machine_type", pool.machine_type, limits.MACHINE_TYPE),
        lost_after=checks.duration(f"{field}.lost_after", lost_after, limits.LEAST_LOST_AFTER, limits.MOST_LOST_AFTER),
        min_nodes=checks.number(f"{field}.min_nodes", pool.min_nodes, 0, limits.POOL_NODES),
        max_nodes=checks.number(f"{field}.max_nodes", pool.max_nodes, 0, limits.POOL_NODES),
    )


def _namespace(checks: Checks, field: str, namespace: compute_target_pb2.KubernetesNamespace) -> KubernetesNamespace:
    keep = decode_duration(namespace.keep_finished) if namespace.HasField("keep_finished") else KEEP_FINISHED
    _check_template(checks, f"{field}.pod_template_json", namespace.pod_template_json)
    return KubernetesNamespace(
        namespace=checks.namespace(f"{field}.namespace", namespace.namespace),
        cluster=checks.text(f"{field}.cluster", namespace.cluster, limits.CLUSTER),
        default_image=checks.text(f"{field}.default_image", namespace.default_image, limits.REFERENCE),
        resource_requests=_resources(checks, f"{field}.resource_requests", namespace.resource_requests),
        resource_limits=_resources(checks, f"{field}.resource_limits", namespace.resource_limits),
        node_selector=checks.labels(f"{field}.node_selector", namespace.node_selector, limits.NODE_LABELS),
        service_account=checks.text(f"{field}.service_account", namespace.service_account, limits.CLUSTER),
        queue=checks.text(f"{field}.queue", namespace.queue, limits.CLUSTER),
        pod_template_json=namespace.pod_template_json,
        keep_finished=checks.duration(f"{field}.keep_finished", keep, limits.NO_GRACE, limits.MOST_KEEP_FINISHED),
        service_address=checks.text(f"{field}.service_address", namespace.service_address, limits.CLUSTER),
    )


def _resources(checks: Checks, field: str, resources: Mapping[str, str]) -> Mapping[str, str]:
    return checks.labels(field, resources, limits.RESOURCES)


def _check_template(checks: Checks, field: str, text: str) -> None:
    checks.sized(field, text, limits.POD_TEMPLATE_BYTES)
    try:
        template = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        template = None
    if not isinstance(template, dict):
        checks.fail(field, "expected an object in JSON")


def encode_target(target: ComputeTarget, status_message: str = "") -> messages.ComputeTarget:
    """Makes the message of a compute target."""
    message = messages.ComputeTarget(
        name=str(target.name),
        kind=_NUMBERS[target.kind],
        create_time=encode_time(target.create_time),
        description=target.description,
        status_message=status_message,
    )
    if isinstance(target.configuration, AgentPool):
        message.agent_pool.CopyFrom(_encode_pool(target.configuration))
    if isinstance(target.configuration, KubernetesNamespace):
        message.kubernetes.CopyFrom(_encode_namespace(target.configuration))
    return message


def _encode_pool(pool: AgentPool) -> compute_target_pb2.AgentPool:
    return compute_target_pb2.AgentPool(
        machine_type=pool.machine_type,
        lost_after=encode_duration(pool.lost_after),
        min_nodes=pool.min_nodes,
        max_nodes=pool.max_nodes,
    )


def _encode_namespace(namespace: KubernetesNamespace) -> compute_target_pb2.KubernetesNamespace:
    return compute_target_pb2.KubernetesNamespace(
        namespace=namespace.namespace,
        cluster=namespace.cluster,
        default_image=namespace.default_image,
        resource_requests=namespace.resource_requests,
        resource_limits=namespace.resource_limits,
        node_selector=namespace.node_selector,
        service_account=namespace.service_account,
        queue=namespace.queue,
        pod_template_json=namespace.pod_template_json,
        keep_finished=encode_duration(namespace.keep_finished),
        service_address=namespace.service_address,
    )
