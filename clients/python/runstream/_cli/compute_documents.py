"""Compute targets as documents of JSON values, with keys in snake_case."""

import json
from typing import Any

from runstream._cli.documents import Document, last_part, time_of
from runstream.api.jobs.v1 import job_service_pb2 as api


def target_document(target: api.ComputeTarget) -> Document:
    """A compute target."""
    return {
        "name": last_part(target.name),
        "workspace_name": target.name.split("/")[1],
        "kind": kind_name(target.kind),
        "description": target.description or None,
        "status_message": target.status_message or None,
        "created_utc": time_of(target, "create_time"),
        "settings": {key: value for key, value in _settings(target).items() if value not in (None, "", {})},
    }


def kind_name(kind: api.ComputeTargetKind.ValueType) -> str:
    """What a kind is called on the command line: `agent-pool` for example."""
    if kind not in api.ComputeTargetKind.values():
        return "unknown"
    return api.ComputeTargetKind.Name(kind).removeprefix("COMPUTE_TARGET_KIND_").lower().replace("_", "-")


def _settings(target: api.ComputeTarget) -> dict[str, Any]:
    match target.WhichOneof("configuration"):
        case "agent_pool":
            pool = target.agent_pool
            return {
                "machine_type": pool.machine_type,
                "min_nodes": pool.min_nodes,
                "max_nodes": pool.max_nodes,
                "lost_after_seconds": pool.lost_after.ToTimedelta().total_seconds(),
            }
        case "kubernetes":
            return _kubernetes_settings(target)
    return {}


def _kubernetes_settings(target: api.ComputeTarget) -> dict[str, Any]:
    kubernetes = target.kubernetes
    return {
        "namespace": kubernetes.namespace,
        "cluster": kubernetes.cluster,
        "default_image": kubernetes.default_image,
        "resource_requests": dict(kubernetes.resource_requests),
        "resource_limits": dict(kubernetes.resource_limits),
        "node_selector": dict(kubernetes.node_selector),
        "service_account": kubernetes.service_account,
        "queue": kubernetes.queue,
        "pod_template": json.loads(kubernetes.pod_template_json) if kubernetes.pod_template_json else None,
        "keep_finished_seconds": kubernetes.keep_finished.ToTimedelta().total_seconds(),
        "service_address": kubernetes.service_address,
    }
