"""Section 19.4: compute targets against the services."""

import uuid
from typing import Any

import pytest

from runstream import aio
from runstream.core import ComputeTarget, Workspace
from runstream.core.compute import AmlCompute, KubernetesCompute
from runstream.core.compute_target import LocalTarget
from runstream.exceptions import ComputeTargetException


def make_pool(ws: Workspace, name: str = "cpu-cluster") -> Any:
    configuration = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2", max_nodes=4, description="Ours")
    return ComputeTarget.create(ws, name, configuration)


def test_the_idiom_of_sdk_v1_makes_a_target_once(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    made = []
    for _ in range(2):
        try:
            target = ComputeTarget(workspace=ws, name="cpu-cluster")
        except ComputeTargetException:
            configuration = AmlCompute.provisioning_configuration(
                vm_size="STANDARD_D2", vm_priority="lowpriority", min_nodes=0, max_nodes=4, location="here"
            )
            target = ComputeTarget.create(ws, "cpu-cluster", configuration)
            target.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=20)
            made.append(target)

    assert len(made) == 1
    assert isinstance(target, AmlCompute)
    assert (target.name, target.type, target.workspace) == ("cpu-cluster", "AmlCompute", ws)
    assert "cpu-cluster: Succeeded" in capsys.readouterr().out


def test_a_target_that_is_not_there_is_told_with_its_workspace(ws: Workspace) -> None:
    for name in ("none", "Not_A_Name"):
        with pytest.raises(ComputeTargetException, match=f"{name}.*{ws.name}"):
            ComputeTarget(ws, name)


def test_a_target_has_the_class_of_its_kind(ws: Workspace) -> None:
    make_pool(ws)

    assert isinstance(ComputeTarget(ws, "local"), LocalTarget)
    assert isinstance(AmlCompute(ws, "cpu-cluster"), AmlCompute)
    with pytest.raises(ComputeTargetException, match="is of type local, not Kubernetes"):
        KubernetesCompute(ws, "local")
    assert {name: type(target) for name, target in ws.compute_targets.items()} == {
        "cpu-cluster": AmlCompute,
        "local": LocalTarget,
    }
    assert [target.name for target in ComputeTarget.list(ws)] == ["cpu-cluster", "local"]


def test_what_is_known_of_a_pool(ws: Workspace) -> None:
    pool = make_pool(ws)

    pool.update(min_nodes=1, max_nodes=8)
    status = pool.get_status()

    assert (pool.vm_size, pool.description, pool.lost_after_seconds) == ("STANDARD_D2", "Ours", 6 * 3600)
    assert (pool.scale_settings.minimum_node_count, pool.scale_settings.maximum_node_count) == (1, 8)
    assert (status.provisioning_state, status.allocation_state, status.errors) == ("Succeeded", "Steady", None)
    assert (status.current_node_count, status.target_node_count) == (0, 8)
    assert status.serialize()["nodeStateCounts"] == {"runningNodeCount": 0, "idleNodeCount": 0, "leavingNodeCount": 0}
    assert pool.serialize()["properties"]["scaleSettings"] == {"minNodeCount": 1, "maxNodeCount": 8}
    assert pool.created_on is not None
    assert "cpu-cluster" in repr(pool)
    assert str(ComputeTarget(ws, "local").get_status()) == "Succeeded"


@pytest.mark.parametrize("name", ["local", "X", "a_b", "taken"])
def test_a_target_that_cannot_be_made_is_told(ws: Workspace, name: str) -> None:
    make_pool(ws, "taken")

    with pytest.raises(ComputeTargetException):
        make_pool(ws, name)


def test_a_target_is_made_of_a_configuration_only(ws: Workspace) -> None:
    wrong: Any = {"vm_size": "large"}

    with pytest.raises(ComputeTargetException, match="provisioning_configuration"):
        ComputeTarget.create(ws, "pool", wrong)


def test_a_cluster_that_is_not_configured_is_told(ws: Workspace) -> None:
    configuration = KubernetesCompute.attach_configuration(
        namespace="training", cluster="west", resource_limits={"nvidia.com/gpu": "1"}, pod_template={"spec": {}}
    )

    with pytest.raises(ComputeTargetException) as raised:
        ComputeTarget.attach(ws, "west", configuration)

    assert raised.value.reason == "CLUSTER_NOT_CONFIGURED"


def test_a_deleted_target_is_gone(ws: Workspace) -> None:
    make_pool(ws).delete()

    with pytest.raises(ComputeTargetException):
        ComputeTarget(ws, "cpu-cluster")
    with pytest.raises(ComputeTargetException, match="local"):
        ComputeTarget(ws, "local").delete()


async def test_asynchronous_programs_have_the_same(surroundings: str) -> None:
    space = await aio.Workspace.create(f"ws-{uuid.uuid4().hex[:24]}")

    made = await aio.ComputeTarget.create(space, "pool", aio.AmlCompute.provisioning_configuration(max_nodes=1))
    read = await aio.ComputeTarget.get(space, "pool")

    assert type(made) is type(read) is aio.AmlCompute
    assert (await read.get_status()).target_node_count == 1
    assert list(await space.get_compute_targets()) == ["local", "pool"]
    with pytest.raises(ComputeTargetException):
        await aio.KubernetesCompute.get(space, "pool")
    await aio.close()
