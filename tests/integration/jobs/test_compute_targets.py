"""Compute targets: made, changed, listed, deleted, within their limits."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.jobs.v1 import compute_target_pb2 as kinds
from runstream.api.jobs.v1 import job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.jobs.model import ComputeTarget, KubernetesNamespace, TargetKind
from runstream_server.jobs.store.targets import TargetStore
from runstream_server.names import ComputeTargetName
from runstream_server.postgres import Postgres
from tests.append_clients import failure_of
from tests.make_runs import WORKSPACE
from tests.submitted import S, Submitter

POOL = messages.COMPUTE_TARGET_KIND_AGENT_POOL
KUBERNETES = messages.COMPUTE_TARGET_KIND_KUBERNETES
CODE = grpc.StatusCode


def creation(target: str = "pool", **of_target: Any) -> messages.CreateComputeTargetRequest:
    made = messages.ComputeTarget(**{"kind": POOL} | of_target)
    return messages.CreateComputeTargetRequest(parent=WORKSPACE, compute_target=made, compute_target_id=target)


def pool_lost_after(seconds: int) -> kinds.AgentPool:
    return kinds.AgentPool(lost_after=Duration(seconds=seconds))


async def test_a_pool_is_made_with_defaults_and_read_again(submitter: Submitter) -> None:
    pool = kinds.AgentPool(machine_type="GPU", min_nodes=1, max_nodes=4)
    made = (await submitter.stub.CreateComputeTarget(creation(description="ours", agent_pool=pool))).compute_target

    got = await submitter.stub.GetComputeTarget(messages.GetComputeTargetRequest(name=made.name))

    assert got.compute_target == made
    assert (made.name, made.description, made.kind) == (f"{WORKSPACE}/computeTargets/pool", "ours", POOL)
    assert (made.agent_pool.machine_type, made.agent_pool.lost_after.seconds) == ("GPU", 21_600)
    assert made.HasField("create_time")


async def test_targets_are_listed_by_name_with_local_among_them(submitter: Submitter) -> None:
    for name in ("zoo", "attic", "mill"):
        await submitter.stub.CreateComputeTarget(creation(name))
    names, token = [], ""
    while True:
        request = messages.ListComputeTargetsRequest(parent=WORKSPACE, page_size=1, page_token=token)
        page = await submitter.stub.ListComputeTargets(request)
        names += [target.name.rpartition("/")[2] for target in page.compute_targets]
        if not (token := page.next_page_token):
            break

    assert names == ["attic", "local", "mill", "zoo"]


async def test_a_target_is_changed_by_its_mask(submitter: Submitter) -> None:
    made = (await submitter.stub.CreateComputeTarget(creation(description="old"))).compute_target
    made.description, made.agent_pool.machine_type = "new", "CPU"
    request = messages.UpdateComputeTargetRequest(compute_target=made, update_mask=FieldMask(paths=["agent_pool"]))

    changed = (await submitter.stub.UpdateComputeTarget(request)).compute_target

    assert (changed.description, changed.agent_pool.machine_type) == ("old", "CPU")


async def test_a_target_is_deleted_when_its_jobs_have_ended(submitter: Submitter) -> None:
    made = (await submitter.stub.CreateComputeTarget(creation())).compute_target
    name = (await submitter.submit(compute_target=made.name)).run.name
    request = messages.DeleteComputeTargetRequest(name=made.name)

    in_use = await failure_of(submitter.stub.DeleteComputeTarget(request))
    lease = (await submitter.claim(name)).lease
    await submitter.report(name, lease, S.RUN_STATUS_FAILED)
    await submitter.stub.DeleteComputeTarget(request)

    assert (in_use.reason, in_use.metadata["job_count"]) == ("COMPUTE_TARGET_IN_USE", "1")
    again = submitter.stub.DeleteComputeTarget(request)
    assert (await failure_of(again)).reason == "COMPUTE_TARGET_NOT_FOUND"


async def test_a_name_is_used_once(submitter: Submitter) -> None:
    await submitter.stub.CreateComputeTarget(creation())

    failure = await failure_of(submitter.stub.CreateComputeTarget(creation()))

    assert (failure.code, failure.reason) == (CODE.ALREADY_EXISTS, "COMPUTE_TARGET_EXISTS")


async def test_local_and_the_kind_of_a_target_are_fixed(submitter: Submitter) -> None:
    made = (await submitter.stub.CreateComputeTarget(creation())).compute_target
    namespace = kinds.KubernetesNamespace(namespace="ml")
    local = messages.ComputeTarget(name=f"{WORKSPACE}/computeTargets/local", description="x")
    other = messages.ComputeTarget(name=made.name, kubernetes=namespace)
    stub = submitter.stub
    calls = [
        stub.UpdateComputeTarget(_update(local, "description")),
        stub.UpdateComputeTarget(_update(other, "kubernetes")),
        stub.DeleteComputeTarget(messages.DeleteComputeTargetRequest(name=local.name)),
    ]

    assert {(await failure_of(call)).reason for call in calls} == {"COMPUTE_TARGET_FIXED"}


def _update(target: messages.ComputeTarget, *paths: str) -> messages.UpdateComputeTargetRequest:
    return messages.UpdateComputeTargetRequest(compute_target=target, update_mask=FieldMask(paths=paths))


async def test_a_namespace_needs_a_cluster_that_the_service_knows(submitter: Submitter) -> None:
    request = creation(kind=KUBERNETES, kubernetes=kinds.KubernetesNamespace(namespace="ml", cluster="east"))

    failure = await failure_of(submitter.stub.CreateComputeTarget(request))

    assert (failure.code, failure.reason) == (CODE.FAILED_PRECONDITION, "CLUSTER_NOT_CONFIGURED")
    assert failure.metadata == {"cluster": "east"}


@pytest.mark.parametrize("target", ["local", "pool"])
async def test_a_job_of_several_nodes_is_refused_where_there_is_one(submitter: Submitter, target: str) -> None:
    await submitter.stub.CreateComputeTarget(creation())
    definition = job_pb2.JobDefinition(script="a.py", distribution=job_pb2.Distribution(node_count=2))
    request = submitter.request(definition, compute_target=f"{WORKSPACE}/computeTargets/{target}")

    failure = await failure_of(submitter.stub.SubmitRun(request))

    assert (failure.code, failure.reason) == (CODE.FAILED_PRECONDITION, "TARGET_CANNOT_RUN")


WITHIN_AND_BEYOND: Sequence[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"description": "d" * 5_000}, {"description": "d" * 5_001}),
    ({"agent_pool": kinds.AgentPool(machine_type="m" * 255)}, {"agent_pool": kinds.AgentPool(machine_type="m" * 256)}),
    ({"agent_pool": pool_lost_after(60)}, {"agent_pool": pool_lost_after(59)}),
    ({"agent_pool": pool_lost_after(30 * 86_400)}, {"agent_pool": pool_lost_after(30 * 86_400 + 1)}),
    ({"agent_pool": pool_lost_after(60)}, {"agent_pool": pool_lost_after(2**62)}),
    ({"agent_pool": kinds.AgentPool(max_nodes=100_000)}, {"agent_pool": kinds.AgentPool(max_nodes=100_001)}),
    ({"agent_pool": kinds.AgentPool(min_nodes=1)}, {"agent_pool": kinds.AgentPool(min_nodes=2, max_nodes=1)}),
    ({"target": "ab"}, {"target": "a"}),
    ({"target": "a" * 63}, {"target": "a" * 64}),
    ({"target": "a-1"}, {"target": "1-a"}),
    ({"target": "local2"}, {"target": "local"}),
    ({}, {"kind": messages.COMPUTE_TARGET_KIND_LOCAL}),
    ({}, {"kubernetes": kinds.KubernetesNamespace(namespace="ml")}),
]


async def test_a_target_keeps_its_limits(submitter: Submitter) -> None:
    failures = []
    for number, (within, beyond) in enumerate(WITHIN_AND_BEYOND):
        await submitter.stub.CreateComputeTarget(creation(**{"target": f"t{number}"} | within))
        failures.append(await failure_of(submitter.stub.CreateComputeTarget(creation(**beyond))))

    assert {failure.reason for failure in failures} == {"INVALID_FIELD"}


def namespace(**of_namespace: Any) -> kinds.KubernetesNamespace:
    return kinds.KubernetesNamespace(**{"namespace": "ml"} | of_namespace)


NAMESPACES = [
    (namespace(resource_requests={f"r{n}": "1" for n in range(20)}), True),
    (namespace(resource_requests={f"r{n}": "1" for n in range(21)}), False),
    (namespace(resource_limits={f"r{n}": "1" for n in range(21)}), False),
    (namespace(node_selector={f"n{n}": "1" for n in range(50)}), True),
    (namespace(node_selector={f"n{n}": "1" for n in range(51)}), False),
    (namespace(pod_template_json='{"a": "' + 65_527 * "a" + '"}'), True),
    (namespace(pod_template_json='{"a": "' + 65_528 * "a" + '"}'), False),
    (namespace(pod_template_json="[]"), False),
    (namespace(pod_template_json="{"), False),
    (namespace(pod_template_json="[" * 60_000), False),
    (namespace(cluster="c" * 255), True),
    (namespace(cluster="c" * 256), False),
    (namespace(keep_finished=Duration(seconds=-1)), False),
    (namespace(namespace=""), False),
]


async def test_a_namespace_keeps_its_limits(submitter: Submitter) -> None:
    requests = [creation(kind=KUBERNETES, kubernetes=each) for each, _ in NAMESPACES]
    reasons = [(await failure_of(submitter.stub.CreateComputeTarget(request))).reason for request in requests]

    expected = ["CLUSTER_NOT_CONFIGURED" if is_within else "INVALID_FIELD" for _, is_within in NAMESPACES]
    assert reasons == expected


async def test_a_namespace_is_kept_as_it_was_given_and_executes_nothing_without_a_cluster(
    submitter: Submitter, postgres: Postgres
) -> None:
    given = KubernetesNamespace(
        namespace="ml",
        cluster="east",
        resource_requests={"cpu": "2"},
        resource_limits={"nvidia.com/gpu": "1"},
        node_selector={"pool": "gpu"},
        pod_template_json="{}",
        keep_finished=timedelta(minutes=5),
    )
    name, at = ComputeTargetName("space", "cluster"), datetime.now(UTC)
    await TargetStore(postgres).create(ComputeTarget(name, TargetKind.KUBERNETES, "ours", given, at))
    got = (await submitter.stub.GetComputeTarget(messages.GetComputeTargetRequest(name=str(name)))).compute_target

    failure = await failure_of(submitter.stub.SubmitRun(submitter.request(compute_target=str(name))))

    assert (await TargetStore(postgres).get(name)) == ComputeTarget(name, TargetKind.KUBERNETES, "ours", given, at)
    assert (got.kubernetes.cluster, dict(got.kubernetes.resource_limits)) == ("east", {"nvidia.com/gpu": "1"})
    assert (got.kubernetes.keep_finished.seconds, got.kind) == (300, KUBERNETES)
    assert (failure.code, failure.reason) == (CODE.FAILED_PRECONDITION, "TARGET_CANNOT_RUN")
