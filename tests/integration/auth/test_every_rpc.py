"""Every rpc by everybody: who has no business with it learns nothing, and who has is admitted."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc

from runstream.api.artifacts.v1 import artifact_service_pb2
from runstream.api.jobs.v1 import job_service_pb2
from runstream.api.logs.v1 import log_service_pb2
from runstream.api.metrics.v1 import metrics_service_pb2
from runstream.api.runs.v1 import run_history_service_pb2
from runstream_server.auth import Role
from runstream_server.auth.access import ACCESS
from runstream_server.auth.model import includes
from tests.guarded import TIMEOUT, Guarded, told
from tests.rpc_rows import ROWS, Row, Things
from tests.things import NOWHERE, make_world

FILES = (run_history_service_pb2, metrics_service_pb2, log_service_pb2, artifact_service_pb2, job_service_pb2)
METHODS = [
    method for file in FILES for service in file.DESCRIPTOR.services_by_name.values() for method in service.methods
]
ADMITTED = "admitted"
REFUSED = "PERMISSION_DENIED ROLE_TOO_SMALL"
NOBODY = {
    "nobody": "UNAUTHENTICATED TOKEN_MISSING",
    "unknown": "UNAUTHENTICATED TOKEN_UNKNOWN",
    "expired": "UNAUTHENTICATED TOKEN_EXPIRED",
    "revoked": "UNAUTHENTICATED TOKEN_REVOKED",
}
REACHING = ("of the run", "of the run above")
NOT_REACHING = ("of a run below", "of another run")
ANSWERS = ("OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "ALREADY_EXISTS", "ABORTED", "NOT_FOUND")


def full_name(method: Any) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def row_of(method: Any) -> Row:
    return ROWS[method.containing_service.full_name][method.name]


async def answer(channel: grpc.aio.Channel, method: Any, request: Any) -> tuple[str, str]:
    """What a call gets first: `OK`, or code and reason, and the message."""
    kind = "_".join("stream" if each else "unary" for each in (method.client_streaming, method.server_streaming))
    data = request.SerializeToString()
    sent = iter([data]) if method.client_streaming else data
    call = getattr(channel, kind)(full_name(method))(sent, timeout=TIMEOUT)
    try:
        await (call.read() if method.server_streaming else call)
    except grpc.aio.AioRpcError as error:
        return told(error)
    finally:
        call.cancel()
    return "OK", ""


def outcome(row: Row, code: str) -> str:
    """The code, or that the caller was admitted: the service then answered this or that."""
    category, _, reason = code.partition(" ")
    missing = category == "NOT_FOUND" and reason in (row.missing, row.missing_to_runs, "RUN_NOT_FOUND")
    return ADMITTED if category in ANSWERS and not missing else code


def expected(row: Row) -> Iterator[tuple[str, str]]:
    """Who gets what."""
    yield from NOBODY.items()
    for role in (Role.READER, Role.WRITER, Role.ADMIN, Role.OPERATOR):
        yield str(role), ADMITTED if includes(role, row.least) else REFUSED
    missing = f"NOT_FOUND {row.missing}" if row.missing != "ROLE_TOO_SMALL" else REFUSED
    yield "of another workspace", missing if row.missing else ADMITTED if row.least is not Role.SERVICE else REFUSED
    of_run = ADMITTED if row.of_run else REFUSED
    yield from ((who, of_run) for who in REACHING)
    unreached = f"NOT_FOUND {row.missing_to_runs}" if row.missing_to_runs else of_run
    yield from ((who, unreached) for who in NOT_REACHING)
    nameless = "WORKSPACE_NOT_FOUND" if row.missing == "ROLE_TOO_SMALL" else row.missing or "RUN_NOT_FOUND"
    yield "of a deleted run", f"NOT_FOUND {nameless}"
    elsewhere = missing if row.missing else of_run
    yield "of a run elsewhere", elsewhere


def test_every_rpc_has_a_row_and_there_is_no_other() -> None:
    rows = {f"/{service}/{method}" for service, methods in ROWS.items() for method in methods}

    assert rows == {full_name(method) for method in METHODS}
    assert rows == {method for method in ACCESS if method.startswith("/runstream.")}


async def test_every_rpc_admits_whom_it_says_and_nobody_else(guarded: Guarded) -> None:
    world = await make_world(guarded)
    wrong = {}
    for method in METHODS:
        row = row_of(method)
        for who, right in expected(row):
            make = (row.of_run_request if "run" in who else None) or row.request
            code, _ = await answer(world.callers[who], method, make(world.ours))
            if right not in (code, outcome(row, code)):
                wrong[f"{method.name} by {who}"] = f"{code}, not {right}"

    assert wrong == {}


async def test_what_is_out_of_reach_is_told_in_the_words_for_what_does_not_exist(guarded: Guarded) -> None:
    world = await make_world(guarded)
    unlike = {}
    for method in METHODS:
        row = row_of(method)
        for who in ("admin", "of the run"):
            make = (row.of_run_request if "run" in who else None) or row.request
            answers = [
                _nameless(await answer(world.callers[who], method, make(things)), things)
                for things in (world.theirs, NOWHERE)
            ]
            if row.missing and (answers[0] != answers[1] or answers[0][0] == "OK"):
                unlike[f"{method.name} by {who}"] = answers

    assert unlike == {}


async def test_a_run_out_of_reach_is_told_in_the_words_for_one_that_does_not_exist(guarded: Guarded) -> None:
    world = await make_world(guarded)
    other, none = (replace(world.ours, run=f"{world.ours.workspace}/runs/{run}") for run in ("other", "none"))
    missing = replace(none, snapshot=f"{none.workspace}/snapshots/{'0' * 64}")
    unlike = {}
    for method in (each for each in METHODS if row_of(each).missing_to_runs):
        make = row_of(method).of_run_request or row_of(method).request
        answers = [
            _nameless(await answer(world.callers["of a run below"], method, make(things)), things)
            for things in (other, missing)
        ]
        if answers[0] != answers[1] or not answers[0][0].startswith("NOT_FOUND"):
            unlike[method.name] = answers

    assert unlike == {}


def _nameless(answered: tuple[str, str], things: Things) -> tuple[str, str]:
    """An answer without the names in it."""
    code, message = answered
    for name in (things.run, things.experiment, things.snapshot, things.token, things.workspace):
        message = message.replace(name, "NAME")
    return code, message
