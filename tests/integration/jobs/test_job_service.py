"""Compute targets: `local` is everywhere."""

import grpc
import pytest

from runstream.api.jobs.v1 import job_service_pb2 as messages
from tests import stubs
from tests.append_clients import failure_of
from tests.conftest import Backend
from tests.make_runs import WORKSPACE, make_workspace

LOCAL = messages.ComputeTarget(name=f"{WORKSPACE}/computeTargets/local", kind=messages.COMPUTE_TARGET_KIND_LOCAL)


async def test_every_workspace_has_the_target_local(backend: Backend) -> None:
    await make_workspace(backend.channel)
    stub = stubs.jobs(backend.channel)

    got = await stub.GetComputeTarget(messages.GetComputeTargetRequest(name=LOCAL.name))
    listed = await stub.ListComputeTargets(messages.ListComputeTargetsRequest(parent=WORKSPACE, page_size=1))

    assert got.compute_target == LOCAL
    assert list(listed.compute_targets) == [LOCAL]
    assert not listed.next_page_token


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"{WORKSPACE}/computeTargets/gpu", "COMPUTE_TARGET_NOT_FOUND"),
        ("workspaces/none/computeTargets/local", "WORKSPACE_NOT_FOUND"),
    ],
)
async def test_what_is_not_there_is_not_found(backend: Backend, name: str, reason: str) -> None:
    await make_workspace(backend.channel)
    request = messages.GetComputeTargetRequest(name=name)
    failure = await failure_of(stubs.jobs(backend.channel).GetComputeTarget(request))

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, reason)


async def test_a_workspace_that_does_not_exist_has_no_targets(backend: Backend) -> None:
    request = messages.ListComputeTargetsRequest(parent="workspaces/none")

    assert (await failure_of(stubs.jobs(backend.channel).ListComputeTargets(request))).reason == "WORKSPACE_NOT_FOUND"


@pytest.mark.parametrize(
    "request_",
    [
        messages.ListComputeTargetsRequest(parent="x"),
        messages.ListComputeTargetsRequest(parent=WORKSPACE, page_size=1_001),
    ],
)
async def test_a_wrong_request_is_refused(backend: Backend, request_: messages.ListComputeTargetsRequest) -> None:
    assert (await failure_of(stubs.jobs(backend.channel).ListComputeTargets(request_))).reason == "INVALID_FIELD"
