"""From a job and its target to the objects of the cluster."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runstream_server.jobs.kubernetes import naming
from runstream_server.jobs.kubernetes.merging import merged
from runstream_server.jobs.kubernetes.model import PodNeeds
from runstream_server.jobs.model import KubernetesNamespace, Place
from runstream_server.names import RunName

MAIN = "main"
"""The container of the job."""

GPU = "nvidia.com/gpu"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"

_INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
_ADDRESS = "RUNSTREAM_ADDRESS"
_TOKEN = "RUNSTREAM_TOKEN"  # noqa: S105 - the name of a variable
_AUTHORITIES = "authorities.pem"
_AUTHORITIES_FOLDER = "/etc/runstream"
_FOLDER = "/runstream"
_USER = 1000
_STORING_SECONDS = 60
"""How long a runner has to store results and to report, beyond what the processes have to end."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Blueprint:
    """What the objects of an attempt are made from."""

    installation: str
    name: str
    run: RunName

    experiment: str
    """The name that people gave it."""

    attempt: int
    lease: int
    namespace: KubernetesNamespace
    """The configuration of the target, as it is now."""

    place: Place
    """Where the attempt was assigned to; the target may lead elsewhere by now."""

    needs: PodNeeds

    image: str
    """That of jobs whose environment has none."""

    address: str
    """At which pods reach the services."""

    gateway_url: str = ""
    """Where they reach the gateway; empty: where everybody does."""

    run_token: str = field(default="", repr=False)
    """What the runner claims the job with; empty: nothing is needed."""

    authorities: str = ""
    """The certificates that vouch for the services, as PEM; empty: those that the image knows."""

    @property
    def labels(self) -> dict[str, str]:
        """What all objects of the attempt are known by."""
        said = {
            naming.JOB: self.name,
            naming.WORKSPACE: naming.label_value(self.run.workspace),
            naming.EXPERIMENT: naming.label_value(self.experiment),
            naming.RUN: naming.label_value(self.run.run),
            naming.ATTEMPT: str(self.attempt),
        }
        return naming.selector(self.installation) | {key: value for key, value in said.items() if value}


def job_manifest(plan: Blueprint) -> Manifest:
    """The `batch/v1` Job. Pods are not made again when they fail: the service decides whether the run is repeated."""
    labels = dict(plan.labels)
    spec: Manifest = {
        "completionMode": "Indexed",
        "completions": plan.needs.node_count,
        "parallelism": plan.needs.node_count,
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": int(plan.namespace.keep_finished.total_seconds()),
        "template": pod_template(plan),
    }
    if plan.namespace.queue:
        labels[QUEUE_LABEL] = plan.namespace.queue
        spec["suspend"] = True
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(plan, labels), "spec": spec}


def secret_manifest(plan: Blueprint, uid: str) -> Manifest:
    """The Secret with what a runner needs to reach the services; it goes with the Job of this uid."""
    metadata = _metadata(plan, plan.labels) | {"ownerReferences": [_owner(plan, uid)]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "stringData": {
            _ADDRESS: plan.address,
            **({_TOKEN: plan.run_token} if plan.run_token else {}),
            **({_AUTHORITIES: plan.authorities} if plan.authorities else {}),
        },
    }


def secret_patch(run_token: str) -> Manifest:
    """What changes of the Secret when there is a newer run token."""
    return {"stringData": {_TOKEN: run_token}}


def service_manifest(plan: Blueprint, uid: str) -> Manifest | None:
    """The headless Service by which several nodes find each other; None for one node."""
    if plan.needs.node_count == 1:
        return None
    metadata = _metadata(plan, plan.labels) | {"ownerReferences": [_owner(plan, uid)]}
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {naming.JOB: plan.name}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def pod_template(plan: Blueprint) -> Manifest:
    """The template of the pods, with that of the target merged over it."""
    template: Manifest = {"metadata": {"labels": {}, "annotations": _annotations(plan)}, "spec": _pod_spec(plan)}
    if plan.namespace.pod_template_json:
        template = merged(template, json.loads(plan.namespace.pod_template_json))
    metadata, spec = template.setdefault("metadata", {}), template.setdefault("spec", {})
    metadata["labels"] = metadata.get("labels", {}) | plan.labels
    spec["restartPolicy"] = "Never"
    return template


def _pod_spec(plan: Blueprint) -> Manifest:
    spec: Manifest = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": bool(plan.namespace.service_account),
        "terminationGracePeriodSeconds": int(plan.needs.termination_grace.total_seconds()) + _STORING_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(plan)],
        "volumes": _volumes(plan),
    }
    if plan.namespace.service_account:
        spec["serviceAccountName"] = plan.namespace.service_account
    if node_selector := {**plan.namespace.node_selector, **plan.needs.labels}:
        spec["nodeSelector"] = node_selector
    if plan.needs.node_count > 1:
        spec["subdomain"] = plan.name
    return spec


def _container(plan: Blueprint) -> Manifest:
    mounts: list[Manifest] = [{"name": "runstream", "mountPath": _FOLDER}]
    if plan.needs.shm_bytes:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108 - it is a volume
    if plan.authorities:
        mounts.append({"name": "authorities", "mountPath": _AUTHORITIES_FOLDER, "readOnly": True})
    return {
        "name": MAIN,
        "image": plan.needs.image or plan.namespace.default_image or plan.image,
        "command": ["python", "-m", "runstream._runner"],
        "args": ["--run", str(plan.run), "--address", f"$({_ADDRESS})", "--lease", str(plan.lease)],
        "workingDir": _FOLDER,
        "env": _variables(plan),
        "resources": _resources(plan),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def _variables(plan: Blueprint) -> list[Manifest]:
    index = {"fieldRef": {"fieldPath": f"metadata.annotations['{_INDEX_ANNOTATION}']"}}
    variables: list[Manifest] = [
        {"name": _ADDRESS, "valueFrom": {"secretKeyRef": {"name": plan.name, "key": _ADDRESS}}},
        {"name": "HOME", "value": _FOLDER},
        {"name": "RUNSTREAM_IN_CONTAINER", "value": "1"},
        {"name": "RUNSTREAM_NODE_COUNT", "value": str(plan.needs.node_count)},
        {"name": "RUNSTREAM_NODE_INDEX", "valueFrom": index},
    ]
    if plan.run_token:
        variables.append(
            {"name": _TOKEN, "valueFrom": {"secretKeyRef": {"name": plan.name, "key": _TOKEN, "optional": True}}}
        )
    if plan.gateway_url:
        variables.append({"name": "RUNSTREAM_GATEWAY_URL", "value": plan.gateway_url})
    if plan.authorities:
        variables.append({"name": "RUNSTREAM_CA_FILE", "value": f"{_AUTHORITIES_FOLDER}/{_AUTHORITIES}"})
    if plan.needs.node_count > 1:
        variables.append({"name": "RUNSTREAM_MASTER_ADDR", "value": f"{plan.name}-0.{plan.name}"})
    return variables


def _resources(plan: Blueprint) -> Manifest:
    requests, limits = dict(plan.namespace.resource_requests), dict(plan.namespace.resource_limits)
    if plan.needs.gpus and GPU not in requests and GPU not in limits:
        limits[GPU] = str(plan.needs.gpus)
    requests = {key: value for key, value in limits.items() if key not in requests} | requests
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def _volumes(plan: Blueprint) -> list[Manifest]:
    volumes: list[Manifest] = [{"name": "runstream", "emptyDir": {}}]
    if plan.needs.shm_bytes:
        size = str(plan.needs.shm_bytes)
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    if plan.authorities:
        items = [{"key": _AUTHORITIES, "path": _AUTHORITIES}]
        volumes.append({"name": "authorities", "secret": {"secretName": plan.name, "items": items}})
    return volumes


def _metadata(plan: Blueprint, labels: Mapping[str, str]) -> Manifest:
    return {
        "name": plan.name,
        "namespace": plan.place.namespace,
        "labels": dict(labels),
        "annotations": _annotations(plan),
    }


def _annotations(plan: Blueprint) -> Manifest:
    return {naming.RUN_ANNOTATION: str(plan.run)}


def _owner(plan: Blueprint, uid: str) -> Manifest:
    return {"apiVersion": "batch/v1", "kind": "Job", "name": plan.name, "uid": uid}
