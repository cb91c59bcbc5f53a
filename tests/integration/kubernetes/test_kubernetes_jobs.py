"""Runs on Kubernetes: what is made of them, and what becomes of them as their pods go on."""

from typing import Any

import pytest

from runstream.api.jobs.v1 import job_pb2
from tests.integration.kubernetes.conftest import Scene, lease_of
from tests.kubernetes_api import JOB, POD, SECRET, SERVICE
from tests.submitted import S

MAIN = "main"


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    """The status of a container that ended."""
    terminated = {"exitCode": code, "reason": reason, "message": message}
    return {"name": MAIN, "image": "ml/train:1", "state": {"terminated": terminated}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """The status of a container that has not started."""
    return {"name": MAIN, "image": "ml/train:1", "state": {"waiting": {"reason": reason, "message": message}}}


def retried(attempts: int = 2) -> job_pb2.JobDefinition:
    return job_pb2.JobDefinition(script="train.py", max_attempts=attempts)


async def test_a_run_becomes_a_job_whose_runner_claims_and_completes_it(scene: Scene) -> None:
    run, job = await scene.submitted()
    pod = await scene.api.make_pod(job, node="n1", phase="Running")
    waits = await scene.says(run, "the runner starts")
    claimed = await scene.claim(run, job)
    await scene.submitter.report(run, claimed.lease, S.RUN_STATUS_RUNNING)
    await scene.submitter.report(run, claimed.lease, S.RUN_STATUS_COMPLETED)
    await scene.api.set_status(POD, pod, phase="Succeeded", containerStatuses=[ended(0, "Completed")])
    complete = {"type": "Complete", "status": "True"}
    await scene.api.set_status(JOB, job["metadata"]["name"], conditions=[complete])
    later, _ = await scene.submit(), await scene.api.until(lambda: len(scene.api.of(JOB)) == 2)

    container = job["spec"]["template"]["spec"]["containers"][0]
    (secret, *_) = scene.api.of(SECRET)
    assert waits == f"the runner starts in pod {pod}"
    assert container["args"][:4] == ["--run", run, "--address", "$(RUNSTREAM_ADDRESS)"]
    assert secret["stringData"] == {"RUNSTREAM_ADDRESS": "runstream.ml:7878"}
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert (await scene.submitter.run(run)).status == S.RUN_STATUS_COMPLETED
    assert (await scene.submitter.job(later)).attempt == 1
    assert [call for call in scene.api.calls if call[0] == "DELETE"] == []


async def test_several_nodes_get_a_service_to_find_each_other(scene: Scene) -> None:
    definition = job_pb2.JobDefinition(script="train.py", distribution=job_pb2.Distribution(node_count=3))

    _, job = await scene.submitted(definition)
    service = (await scene.api.until(lambda: scene.api.of(SERVICE)))[0]

    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (3, 3)
    assert service["metadata"]["name"] == job["spec"]["template"]["spec"]["subdomain"]
    assert service["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]


async def test_people_read_why_the_scheduler_finds_no_node(scene: Scene) -> None:
    run, job = await scene.submitted()
    none = await scene.says(run, "the cluster has made no pod")
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no GPU"}
    pod = await scene.api.make_pod(job, conditions=[scheduled])

    message = await scene.says(run, "no node takes")

    assert "kubectl describe job" in none
    assert message == f"no node takes pod {pod}: 0/3 nodes: no GPU"
    assert (await scene.submitter.run(run)).status == S.RUN_STATUS_QUEUED


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("ErrImagePull", "ImagePullFailed"),
        ("ImagePullBackOff", "ImagePullFailed"),
        ("InvalidImageName", "ImagePullFailed"),
        ("CreateContainerConfigError", "PodConfigurationError"),
    ],
)
async def test_a_pod_that_cannot_start_fails_its_run_and_is_deleted(scene: Scene, reason: str, code: str) -> None:
    run, job = await scene.submitted()
    await scene.api.make_pod(job, containerStatuses=[waiting(reason, "no such thing")])

    failed = await scene.ended(run)
    await scene.api.until(lambda: not scene.api.of(JOB) and not scene.api.of(SECRET))

    assert (failed.status, failed.error.code) == (S.RUN_STATUS_FAILED, code)
    assert f"{reason}: no such thing" in failed.error.message


async def test_a_runner_that_is_out_of_memory_says_which_limit(scene: Scene) -> None:
    run, job = await scene.submitted(retried())
    await scene.claim(run, job)
    await scene.api.make_pod(job, node="n1", phase="Failed", containerStatuses=[ended(137, "OOMKilled")])
    await scene.fail(job)

    failed = await scene.ended(run)

    assert failed.error.code == "OutOfMemory"
    assert "raise the memory limit" in failed.error.message


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ({"reason": "Evicted", "message": "The node was low on resource: memory."}, "Evicted"),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]},
            "Preempted",
        ),
        ({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}]}, "NodeLost"),
        ({"containerStatuses": [ended(1)]}, "RunnerLost"),
    ],
)
async def test_what_the_run_is_not_to_blame_for_is_repeated_as_often_as_allowed(
    scene: Scene, status: dict[str, Any], code: str
) -> None:
    run, first = await scene.submitted(retried())
    await scene.claim(run, first)
    await scene.api.make_pod(first, node="n1", phase="Failed", **status)
    await scene.fail(first)
    second = (await scene.api.until(lambda: scene.api.of(JOB)[1:] and scene.api.of(JOB)))[1]
    await scene.claim(run, second)
    await scene.api.make_pod(second, node="n1", phase="Failed", **status)
    await scene.fail(second)

    failed = await scene.ended(run)

    assert (failed.status, failed.error.code) == (S.RUN_STATUS_FAILED, code)
    assert lease_of(second) > lease_of(first)
    assert (await scene.submitter.job(run)).attempt == 2


async def test_a_runner_that_said_nothing_is_quoted_from_the_log_of_its_pod(scene: Scene) -> None:
    run, job = await scene.submitted()
    pod = await scene.api.make_pod(job, node="n1", phase="Failed", containerStatuses=[ended(1)])
    scene.api.logs[pod] = "starting\n/bin/python: No module named runstream\n"
    await scene.fail(job)

    failed = await scene.ended(run)

    assert failed.error.code == "RunnerNotStarted"
    assert "must have `python` with the package `runstream`" in failed.error.message
    assert failed.error.message.endswith("starting\n/bin/python: No module named runstream")


async def test_a_log_that_is_gone_is_replaced_by_what_the_cluster_noted(scene: Scene) -> None:
    run, job = await scene.submitted()
    status = ended(2, "Error", "last words")
    await scene.api.make_pod(job, node="n1", phase="Failed", containerStatuses=[status])
    await scene.fail(job)

    assert (await scene.ended(run)).error.message.endswith("It printed at last:\nlast words")


async def test_a_deadline_of_the_pod_template_fails_the_run(scene: Scene) -> None:
    run, job = await scene.submitted(retried())
    await scene.claim(run, job)
    await scene.api.make_pod(job, node="n1", phase="Failed", reason="DeadlineExceeded")
    await scene.fail(job)

    assert (await scene.ended(run)).error.code == "DeadlineExceeded"


async def test_a_job_that_somebody_deletes_fails_its_run(scene: Scene) -> None:
    run, job = await scene.submitted()
    await scene.says(run, "made no pod")

    await scene.api.remove(JOB, job["metadata"]["name"])

    failed = await scene.ended(run)
    assert (failed.error.code, failed.status) == ("PodDeleted", S.RUN_STATUS_FAILED)


async def test_cancelling_a_run_that_waits_deletes_its_job_and_what_belongs_to_it(scene: Scene) -> None:
    run, job = await scene.submitted()
    await scene.api.make_pod(job)

    await scene.submitter.cancel(run)
    await scene.api.until(lambda: not scene.api.objects)

    assert (await scene.ended(run)).status == S.RUN_STATUS_CANCELED


async def test_a_runner_that_ends_its_run_is_not_deleted_while_it_leaves(scene: Scene) -> None:
    run, job = await scene.submitted()
    claimed = await scene.claim(run, job)
    await scene.submitter.cancel(run)
    await scene.submitter.report(run, claimed.lease, S.RUN_STATUS_CANCELED)
    other = await scene.submit()
    await scene.says(other, "made no pod")

    assert (await scene.submitter.run(run)).status == S.RUN_STATUS_CANCELED
    assert len(scene.api.of(JOB)) == 2


async def test_a_job_that_kueue_holds_back_waits_in_the_queue(scene: Scene) -> None:
    run, job = await scene.submitted()
    job["spec"]["suspend"] = True
    await scene.api.set_status(JOB, job["metadata"]["name"])

    assert await scene.says(run, "Kueue") == "waits until Kueue admits it in namespace ml"
    assert (await scene.submitter.run(run)).status == S.RUN_STATUS_QUEUED
