"""Jobs on Kubernetes when something goes wrong: crashes, several replicas, a cluster that refuses or goes away."""

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest

from runstream.api.jobs.v1 import compute_target_pb2 as kinds
from runstream.api.jobs.v1 import job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.cluster_config import ClusterConfig, KubernetesConfig
from runstream_server.config import Config
from runstream_server.errors import ConfigurationError, only_cause
from runstream_server.jobs.model import Place
from runstream_server.jobs.store.assignments import AssignmentStore, LeadStore
from runstream_server.postgres import Postgres
from tests.append_clients import failure_of
from tests.conftest import serve
from tests.integration.kubernetes.conftest import TARGET, Scene, make_target
from tests.integration.kubernetes.halting import Halt, pass_on
from tests.jobs_clock import pass_time
from tests.kubernetes_api import JOB, SECRET, SERVICE, KubernetesApi, Object, Refusal
from tests.make_runs import WORKSPACE
from tests.submitted import S, make_submitter

TWO_NODES = job_pb2.JobDefinition(script="train.py", distribution=job_pb2.Distribution(node_count=2))


def refuse(code: int, reason: str, plural: str = JOB) -> Any:
    """Refuses to make objects of a kind."""

    async def before(method: str, asked: str) -> None:
        if (method, asked) == ("POST", plural):
            raise Refusal(code, reason, f"{plural} is {reason}")

    return before


def jobs_of_attempt(api: KubernetesApi, attempt: int) -> list[Object]:
    """The Jobs of an attempt."""
    return [job for job in api.of(JOB) if job["metadata"]["labels"]["runstream.io/attempt"] == str(attempt)]


def creations(api: KubernetesApi) -> list[str]:
    """The kinds of objects that are there, one entry for each."""
    return sorted(kind for kind, _, _ in api.objects)


@pytest.mark.parametrize(("when", "plural"), [("before", JOB), ("after", JOB), ("after", SECRET), ("after", SERVICE)])
async def test_what_a_process_leaves_undone_is_done_by_the_next(
    on_kubernetes: Config, api: KubernetesApi, when: str, plural: str
) -> None:
    halt = Halt(plural)
    setattr(api, when, halt)
    async with serve(on_kubernetes) as first:
        submitter = await make_submitter(first.channel)
        await make_target(first.channel)
        run = (await submitter.submit(TWO_NODES, compute_target=TARGET)).run.name
        await halt.reached.wait()
    setattr(api, when, pass_on)

    async with serve(on_kubernetes) as second:
        scene = Scene(api, await make_submitter(second.channel), second.channel)
        await scene.says(run, "made no pod")

    assert creations(api) == [JOB, SECRET, SERVICE]


async def test_two_replicas_make_each_job_once(scene: Scene, on_kubernetes: Config) -> None:
    async with serve(on_kubernetes) as replica:
        others = await make_submitter(replica.channel)
        submissions = [each.submit(compute_target=TARGET) for each in (scene.submitter, others) for _ in range(10)]
        runs = {response.run.name for response in await asyncio.gather(*submissions)}
        await scene.api.until(lambda: len(scene.api.of(SECRET)) == 20)

    made = [each["metadata"]["annotations"]["runstream.io/run-name"] for each in scene.api.of(JOB)]
    assert (set(made), len(made)) == (runs, 20)
    assert [call for call in scene.api.calls if call[:2] == ("POST", JOB)] == [("POST", JOB, "")] * 20


async def test_who_was_thought_lost_assigns_nothing_any_more(postgres: Postgres) -> None:
    leads, place, long = LeadStore(postgres), Place("", "ml"), timedelta(minutes=1)

    first = await leads.take(place, uuid.uuid4(), timedelta(seconds=15))
    meanwhile = await leads.take(place, uuid.uuid4(), long)
    await pass_time(postgres, timedelta(seconds=20))
    second = await leads.take(place, uuid.uuid4(), long)

    assert (first, meanwhile, second) == (1, None, 2)
    assert await AssignmentStore(postgres).assign(place, 1, lambda run, attempt: "x") is None
    assert await AssignmentStore(postgres).assign(place, 2, lambda run, attempt: "x") == 0
    assert [await leads.keep(place, epoch, long) for epoch in (1, 2)] == [False, True]


async def test_versions_that_are_too_old_are_listed_again(scene: Scene) -> None:
    run, job = await scene.submitted()
    await scene.says(run, "made no pod")
    await scene.api.forget_events()

    await scene.api.make_pod(job, node="n1")

    assert "is being started on node n1" in await scene.says(run, "n1")


async def test_a_pod_that_vanished_unseen_is_not_forgotten(scene: Scene) -> None:
    run, job = await scene.submitted()
    await scene.claim(run, job)
    target = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    pod = await scene.api.make_pod(job, node="n1", phase="Running")
    other = await scene.submit()
    await scene.says(other, "made no pod")
    await scene.api.set_status("pods", pod, conditions=[target])
    await scene.api.remove("pods", pod)
    await scene.fail(job)

    assert (await scene.ended(run)).error.code == "Preempted"


@pytest.mark.parametrize(("code", "reason"), [(403, "Forbidden"), (404, "NotFound"), (503, "ServiceUnavailable")])
async def test_a_cluster_that_refuses_is_asked_again_and_people_read_why(scene: Scene, code: int, reason: str) -> None:
    scene.api.before = refuse(code, reason)
    run = await scene.submit()

    message = await scene.says(run, reason)
    scene.api.before = pass_on
    await scene.api.job()

    assert message.startswith("the cluster does not answer" if code == 503 else f"the cluster refuses ({code})")


@pytest.mark.parametrize("code", [400, 422])
async def test_a_run_whose_job_is_invalid_fails(scene: Scene, code: int) -> None:
    scene.api.before = refuse(code, "Invalid")

    failed = await scene.ended(await scene.submit())

    assert (failed.status, failed.error.code) == (S.RUN_STATUS_FAILED, "JobRefused")
    assert failed.error.message.endswith("jobs is Invalid")


async def test_a_name_that_somebody_else_has_is_not_taken_over(scene: Scene) -> None:
    async def take(method: str, plural: str) -> None:
        if (method, plural) == ("POST", JOB):
            scene.api.before = pass_on
            raise Refusal(409, "AlreadyExists")

    scene.api.before = take
    run = await scene.submit()

    await scene.says(run, "vanished while it was made")
    await scene.api.job()


async def test_jobs_that_run_for_nobody_are_deleted_and_those_of_others_left(scene: Scene) -> None:
    _, job = await scene.submitted()
    labels = job["metadata"]["labels"]
    for name, installation in (("stray", labels["runstream.io/installation"]), ("foreign", "another")):
        metadata = {"name": name, "namespace": "ml", "labels": labels | {"runstream.io/installation": installation}}
        await scene.api.put((JOB, "ml", name), {"metadata": metadata, "spec": {}})

    await scene.api.until(lambda: ("DELETE", JOB, "stray") in scene.api.calls)

    assert ("jobs", "ml", "foreign") in scene.api.objects


async def test_a_runner_that_is_told_to_leave_is_repeated_where_attempts_are_left(scene: Scene) -> None:
    run, _ = await scene.submitted(job_pb2.JobDefinition(script="train.py", max_attempts=2))
    for attempt in (1, 2):
        jobs = await scene.api.until(partial(jobs_of_attempt, scene.api, attempt))
        claimed = await scene.claim(run, jobs[0])
        error = run_pb2.RunError(code="RunnerTerminated", message="SIGTERM")
        await scene.submitter.report(run, claimed.lease, S.RUN_STATUS_FAILED, error=error)
        assert claimed.job.attempt == attempt

    failed = await scene.ended(run)
    assert (failed.error.code, failed.status) == ("RunnerTerminated", S.RUN_STATUS_FAILED)


async def test_targets_say_whether_their_cluster_answers(scene: Scene) -> None:
    await make_target(scene.channel, "locked", cluster="locked")

    async def status(name: str) -> str:
        request = messages.GetComputeTargetRequest(name=f"{WORKSPACE}/computeTargets/{name}")
        target = (await scene.submitter.stub.GetComputeTarget(request)).compute_target
        return str(target.status_message)

    assert await status("gpu") == "the cluster answers"
    assert await status("locked") == "the cluster refuses (401): Unauthorized"


async def test_a_cluster_that_nobody_configured_is_refused(scene: Scene) -> None:
    namespace = kinds.KubernetesNamespace(namespace="ml", cluster="west")
    target = messages.ComputeTarget(kind=messages.COMPUTE_TARGET_KIND_KUBERNETES, kubernetes=namespace)
    request = messages.CreateComputeTargetRequest(parent=WORKSPACE, compute_target=target, compute_target_id="west")

    failure = await failure_of(scene.submitter.stub.CreateComputeTarget(request))

    assert (failure.reason, failure.metadata) == ("CLUSTER_NOT_CONFIGURED", {"cluster": "west"})


@pytest.mark.parametrize(
    "bad",
    [
        {"namespace": "ml/../kube-system"},
        {"namespace": ""},
        {"pod_template_json": '{"spec": []}'},
        {"pod_template_json": '{"metadata": {"labels": []}}'},
    ],
)
async def test_a_target_that_could_never_work_is_refused(scene: Scene, bad: dict[str, str]) -> None:
    namespace = kinds.KubernetesNamespace(**{"namespace": "ml"} | bad)  # type: ignore[arg-type]
    target = messages.ComputeTarget(kind=messages.COMPUTE_TARGET_KIND_KUBERNETES, kubernetes=namespace)
    request = messages.CreateComputeTargetRequest(parent=WORKSPACE, compute_target=target, compute_target_id="bad")

    assert (await failure_of(scene.submitter.stub.CreateComputeTarget(request))).reason == "INVALID_FIELD"


async def test_a_target_needs_an_address_where_the_service_has_none(on_kubernetes: Config) -> None:
    nameless = replace(on_kubernetes, kubernetes=replace(on_kubernetes.kubernetes, service_address=""))
    async with serve(nameless) as served:
        await make_submitter(served.channel)
        await make_target(served.channel, service_address="here:7878")
        with pytest.raises(grpc.aio.AioRpcError, match="service_address"):
            await make_target(served.channel, "other")


async def test_a_cluster_that_cannot_be_reached_at_all_stops_the_start(on_kubernetes: Config) -> None:
    lost = KubernetesConfig(clusters=(ClusterConfig(name="lost", kubeconfig="/nowhere"),))
    with pytest.raises(Exception) as failed:  # noqa: PT011 - whatever it is wrapped in
        async with serve(replace(on_kubernetes, kubernetes=lost)):
            pass

    cause = only_cause(failed.value)
    assert isinstance(cause, ConfigurationError)
    assert "RUNSTREAM_KUBERNETES_CLUSTERS" in str(cause)


async def test_a_job_without_an_image_is_refused(scene: Scene) -> None:
    await make_target(scene.channel, "bare", default_image="")
    image: dict[str, Any] = {"environment": {"definition": {"image": {"dockerfile": "FROM x"}}}}
    target = f"{WORKSPACE}/computeTargets/bare"
    cases: list[tuple[dict[str, Any], str]] = [({}, "has an image"), (image, "built from a Dockerfile")]
    for definition, words in cases:
        request = scene.submitter.request(job_pb2.JobDefinition(script="a.py", **definition), compute_target=target)

        with pytest.raises(grpc.aio.AioRpcError, match=words) as refused:
            await scene.submitter.stub.SubmitRun(request)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
