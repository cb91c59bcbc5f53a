"""The contracts are kept: generated code is fresh, and everything in them is served."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from runstream.api.artifacts.v1 import artifact_service_pb2
from runstream.api.jobs.v1 import job_service_pb2
from runstream.api.logs.v1 import log_service_pb2
from runstream.api.metrics.v1 import metrics_service_pb2
from runstream.api.runs.v1 import run_history_service_pb2
from runstream_server import app
from runstream_server.errors import RunstreamError
from scripts.generate_protos import API, GENERATOR_PYTHONS, PROTOS, generate

FILES = [
    run_history_service_pb2,
    metrics_service_pb2,
    log_service_pb2,
    artifact_service_pb2,
    job_service_pb2,
]
SERVICES = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
METHODS = [f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods]


@pytest.mark.skipif(
    sys.version_info[:2] not in GENERATOR_PYTHONS, reason="the generator has packages for older Pythons only"
)
def test_the_generated_code_is_fresh(tmp_path: Path) -> None:
    generate(tmp_path / "api")

    fresh = {path.relative_to(tmp_path / "api"): path.read_text() for path in (tmp_path / "api").rglob("*.py*")}
    kept = {path.relative_to(API): path.read_text() for path in API.rglob("*.py*") if "__pycache__" not in path.parts}
    assert kept == fresh, "run `make protos`"


def test_there_is_a_mount_for_each_service() -> None:
    packages = {service.full_name.split(".")[2] for service in SERVICES}

    assert packages == set(app.MOUNTS)


@pytest.mark.parametrize("method", METHODS)
async def test_every_rpc_answers_an_empty_request_with_a_documented_code(method: str, backend: Any) -> None:
    call = backend.channel.stream_stream(method)(iter([b""]), timeout=20)
    try:
        async for _ in call:
            break
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017 - an answer is right as well
    finally:
        call.cancel()


def test_every_reason_of_an_error_is_documented() -> None:
    comments = "".join(path.read_text() for path in PROTOS.rglob("*.proto"))
    reasons = {error.reason for error in _descendants(RunstreamError) if "reason" in vars(error)}

    assert reasons == {reason for reason in reasons if f"`{reason}`" in comments}


def _descendants(kind: type[RunstreamError]) -> Iterator[type[RunstreamError]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("runstream_server."):
            yield each
            yield from _descendants(each)


async def test_reflection_lists_every_service(backend: Any) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(backend.channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answers = [answer async for answer in stub.ServerReflectionInfo(requests, timeout=20)]

    listed = {service.name for service in answers[0].list_services_response.service}
    assert listed >= {service.full_name for service in SERVICES}
