"""How targets of clusters stand, where there are many of them and a cluster that takes its time."""

import asyncio

from runstream.api.jobs.v1 import job_service_pb2 as messages
from tests.integration.kubernetes.conftest import Scene, make_target
from tests.make_runs import WORKSPACE

NAMESPACES = 5


async def statuses(scene: Scene) -> dict[str, str]:
    """How all targets stand, by name."""
    listed = await scene.submitter.stub.ListComputeTargets(messages.ListComputeTargetsRequest(parent=WORKSPACE))
    return {each.name.rpartition("/")[2]: each.status_message for each in listed.compute_targets}


async def test_the_targets_of_a_page_are_asked_at_the_same_time(scene: Scene) -> None:
    names = [f"space{n}" for n in range(NAMESPACES)]
    for name in names:
        await make_target(scene.channel, name, namespace=name)
    together = asyncio.Barrier(NAMESPACES + 1)  # with the target that there is already

    async def wait_for_all(method: str, plural: str) -> None:
        await together.wait()

    scene.api.before = wait_for_all

    told = await statuses(scene)

    assert {name: told[name] for name in names} == dict.fromkeys(names, "the cluster answers")
    assert told["local"] == ""
