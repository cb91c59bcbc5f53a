"""Compute targets of Kubernetes and of agents: what they are made of, and what is read of them."""

from typing import Any

import pytest

from runstream._cli.compute_documents import target_document
from runstream.api.jobs.v1 import agent_pb2, compute_target_pb2
from runstream.api.jobs.v1 import job_service_pb2 as api
from runstream.core._compute_status import ComputeTargetStatus
from runstream.core.compute import AmlCompute, ComputeTarget, KubernetesCompute
from runstream.exceptions import ComputeTargetException

SETTINGS: dict[str, Any] = {
    "namespace": "training",
    "cluster": "west",
    "default_image": "python:3.12",
    "resource_requests": {"cpu": "2"},
    "resource_limits": {"nvidia.com/gpu": "1"},
    "node_selector": {"zone": "a"},
    "service_account": "trainer",
    "queue": "team",
    "pod_template": {"spec": {"tolerations": [{"operator": "Exists"}]}},
    "keep_finished_seconds": 90.5,
    "service_address": "runs.example.org:7878",
}


def kubernetes() -> api.ComputeTarget:
    record = KubernetesCompute.attach_configuration(**SETTINGS, description="Ours").record()
    record.name = "workspaces/default/computeTargets/west"
    return record


def test_a_namespace_has_every_setting_of_the_contract() -> None:
    target: Any = ComputeTarget._of(None, kubernetes())  # type: ignore[arg-type]

    assert set(compute_target_pb2.KubernetesNamespace.DESCRIPTOR.fields_by_name) == {
        *(SETTINGS.keys() - {"pod_template", "keep_finished_seconds"}),
        *("pod_template_json", "keep_finished"),
    }
    assert isinstance(target, KubernetesCompute)
    assert {name: getattr(target, name) for name in SETTINGS} == SETTINGS
    assert (target.type, target.description, target.created_on) == ("Kubernetes", "Ours", None)
    assert target.serialize()["properties"]["podTemplate"] == SETTINGS["pod_template"]


def test_a_namespace_is_a_document_on_the_command_line() -> None:
    document = target_document(kubernetes())

    assert document["kind"] == "kubernetes"
    assert document["settings"] == SETTINGS


def test_a_cluster_may_be_named_as_in_sdk_v1() -> None:
    assert KubernetesCompute.attach_configuration("west", "training").cluster == "west"
    assert KubernetesCompute.attach_configuration().namespace == "default"


def test_a_target_of_a_kind_that_is_not_known_is_still_a_target() -> None:
    record = api.ComputeTarget(name="workspaces/default/computeTargets/new", kind=77)  # type: ignore[arg-type]

    target: Any = ComputeTarget._of(None, record)  # type: ignore[arg-type]

    assert (type(target), target.name, target.type) == (ComputeTarget, "new", "Unknown")
    assert target_document(record)["kind"] == "unknown"
    with pytest.raises(ComputeTargetException, match="Unknown, not AmlCompute"):
        AmlCompute._of(None, record)  # type: ignore[arg-type]


def test_agents_are_counted_by_what_they_do() -> None:
    agents = [
        agent_pb2.Agent(connected=True, runs=["workspaces/default/runs/a"]),
        agent_pb2.Agent(connected=True, runs=["workspaces/default/runs/b"], draining=True),
        agent_pb2.Agent(connected=True),
        agent_pb2.Agent(connected=False),
    ]

    status = ComputeTargetStatus(api.ComputeTarget(status_message="3 agents"), agents)

    assert (status.current_node_count, status.message) == (3, "3 agents")
    assert status.node_state_counts == {"running": 1, "idle": 1, "leaving": 1}


def test_options_of_a_pool_without_effect_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    AmlCompute.provisioning_configuration(vm_size="large", max_nodez=4)

    assert "max_nodez" in caplog.text
