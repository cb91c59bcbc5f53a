"""Whoever guesses what others have, and puts it into requests about what is their own, learns and gets nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts
from runstream.api.jobs.v1 import job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as jobs
from runstream.api.logs.v1 import log_service_pb2 as logs
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream.api.runs.v1 import run_pb2, token_pb2
from runstream_server.auth import Role
from tests import stubs
from tests.append_clients import failure_of_stream
from tests.artifact_calls import Calls
from tests.guarded import Guarded, told
from tests.make_runs import WORKSPACE
from tests.rpc_rows import Things, submission
from tests.things import NOWHERE, World, make_world

THEIRS = "workspaces/theirs"


async def answer(call: Any) -> tuple[str, str]:
    """What a call gets: `OK`, or code and reason, and the message."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return told(error)
    return "OK", ""


def history(channel: grpc.aio.Channel, method: str, request: Any) -> Any:
    return getattr(stubs.run_history(channel), method)(request)


def submit(channel: grpc.aio.Channel, ours: Things, of_request: Any, **of_definition: Any) -> Any:
    request = submission(ours, experiment=ours.experiment)
    request.MergeFrom(of_request)
    request.definition.MergeFrom(job_pb2.JobDefinition(**of_definition))
    return stubs.jobs(channel).SubmitRun(request)


def new_run(**of_run: Any) -> runs.CreateRunRequest:
    return runs.CreateRunRequest(parent=WORKSPACE, run=run_pb2.Run(**of_run))


MIXED: dict[str, Callable[[grpc.aio.Channel, Things, Things], Any]] = {
    "BatchGetRuns": lambda c, o, t: history(
        c, "BatchGetRuns", runs.BatchGetRunsRequest(parent=o.workspace, names=[o.run, t.run])
    ),
    "DeleteRuns": lambda c, o, t: history(c, "DeleteRuns", runs.DeleteRunsRequest(parent=o.workspace, names=[t.run])),
    "RestoreRuns": lambda c, o, t: history(
        c, "RestoreRuns", runs.RestoreRunsRequest(parent=o.workspace, names=[t.run])
    ),
    "CreateRun.parent": lambda c, o, t: history(c, "CreateRun", new_run(parent=t.run)),
    "CreateRun.experiment": lambda c, o, t: history(c, "CreateRun", new_run(experiment=t.experiment)),
    "BatchCreateRuns.parent": lambda c, o, t: history(
        c, "BatchCreateRuns", runs.BatchCreateRunsRequest(parent=o.workspace, requests=[new_run(parent=t.run)])
    ),
    "BatchCreateRuns.requests.parent": lambda c, o, t: history(
        c,
        "BatchCreateRuns",
        runs.BatchCreateRunsRequest(
            parent=o.workspace,
            requests=[runs.CreateRunRequest(parent=t.workspace, run=run_pb2.Run(experiment=t.experiment))],
        ),
    ),
    "CreateToken": lambda c, o, t: history(
        c,
        "CreateToken",
        runs.CreateTokenRequest(parent=o.workspace, token=token_pb2.Token(role=token_pb2.TOKEN_ROLE_RUN, run=t.run)),
    ),
    "SubmitRun.run.parent": lambda c, o, t: submit(c, o, jobs.SubmitRunRequest(run=run_pb2.Run(parent=t.run))),
    "SubmitRun.compute_target": lambda c, o, t: submit(c, o, jobs.SubmitRunRequest(compute_target=t.pool)),
    "SubmitRun.snapshot": lambda c, o, t: submit(c, o, jobs.SubmitRunRequest(), snapshot=t.snapshot),
    "SubmitRun.environment": lambda c, o, t: submit(c, o, jobs.SubmitRunRequest(), environment={"name": t.environment}),
}
"""Requests about what is ours that name something of theirs."""


@pytest.fixture
async def world(guarded: Guarded) -> World:
    """Two workspaces."""
    return await make_world(guarded)


async def test_a_foreign_name_in_a_request_about_ones_own_is_refused_whether_it_exists_or_not(world: World) -> None:
    wrong = {}
    for what, call in MIXED.items():
        answers = [
            (code, _nameless(message, things))
            for things in (world.theirs, NOWHERE)
            for code, message in [await answer(call(world.callers["admin"], world.ours, things))]
        ]
        if answers[0] != answers[1] or answers[0][0].split()[0] not in ("INVALID_ARGUMENT", "NOT_FOUND"):
            wrong[what] = answers

    assert wrong == {}


def _nameless(message: str, things: Things) -> str:
    for name in (things.run, things.experiment, things.snapshot, things.pool, things.environment, things.workspace):
        message = message.replace(name, "NAME")
    return message


async def test_streams_over_ones_own_name_nothing_foreign(world: World) -> None:
    channel, theirs = world.callers["admin"], world.theirs
    watch = runs.WatchRunsRequest(parent=WORKSPACE, names=[theirs.run])
    search = logs.SearchLogsRequest(parent=WORKSPACE, runs=[theirs.run], literal=b"x")

    failures = [
        await failure_of_stream(stubs.run_history(channel).WatchRuns(watch)),
        await failure_of_stream(stubs.logs(channel).SearchLogs(search)),
    ]

    assert {failure.reason for failure in failures} == {"INVALID_FIELD"}


async def test_a_filter_finds_nothing_foreign(world: World) -> None:
    theirs = world.theirs
    filters = [
        f"experiment = {theirs.experiment}",
        f"parent = {theirs.run}",
        f"ancestor = {theirs.run}",
        f"root = {theirs.run}",
        f"run_id = below AND parent = {theirs.run}",
    ]
    for filter_ in filters:
        request = runs.ListRunsRequest(parent=WORKSPACE, filter=filter_)
        code, message = await answer(history(world.callers["admin"], "ListRuns", request))
        found = [] if code != "OK" else (await history(world.callers["admin"], "ListRuns", request)).runs

        assert not found
        assert code in ("OK", "INVALID_ARGUMENT INVALID_FILTER"), message


async def test_a_place_in_a_foreign_list_is_none_in_ones_own(world: World, guarded: Guarded) -> None:
    everybody, admin = stubs.run_history(guarded.channel), stubs.run_history(world.callers["admin"])
    for _ in range(2):
        await guarded.token(Role.READER, "theirs")
    listed = await everybody.ListRuns(runs.ListRunsRequest(parent=THEIRS, page_size=1))
    tokens = await everybody.ListTokens(runs.ListTokensRequest(parent=THEIRS, page_size=1))
    of_runs = runs.ListRunsRequest(parent=WORKSPACE, page_size=1, page_token=listed.next_page_token)
    of_tokens = runs.ListTokensRequest(parent=WORKSPACE, page_size=1, page_token=tokens.next_page_token)

    assert of_runs.page_token
    assert of_tokens.page_token
    refused = "INVALID_ARGUMENT INVALID_PAGE_TOKEN"
    assert (await answer(admin.ListRuns(of_runs)))[0] == refused
    assert (await answer(admin.ListTokens(of_tokens)))[0] == refused
    watch = everybody.WatchRuns(runs.WatchRunsRequest(parent=THEIRS))
    first: Any = await watch.read()
    watch.cancel()
    ours = admin.WatchRuns(runs.WatchRunsRequest(parent=WORKSPACE, resume_token=first.resume_token))
    assert (await failure_of_stream(ours)).reason == "INVALID_RESUME_TOKEN"


async def test_who_knows_the_digest_of_a_foreign_blob_has_nothing_of_it(world: World, guarded: Guarded) -> None:
    data = b"what they trained on" * 100
    theirs = Calls(guarded.channel, THEIRS)
    (digest,) = await theirs.store(data)
    upload = await theirs.begin(b"", size=20 << 20, multipart=True, digest="")
    ours = Calls(world.callers["admin"])

    assert await ours.missing([digest]) == [digest]
    assert not (await ours.begin(data)).exists
    bound = answer(ours.bind(world.ours.run, {"outputs/file": digest}))
    assert (await bound)[0] == "FAILED_PRECONDITION BLOB_MISSING"
    entries = [artifacts.SnapshotEntry(path="file", digest=digest, size_bytes=len(data))]
    assert list((await ours.snapshot(entries)).missing_digests) == [digest]
    request = artifacts.GetUploadUrlsRequest(parent=WORKSPACE, upload_id=upload.upload_id, part_numbers=[1])
    assert (await answer(ours.stub.GetUploadUrls(request)))[0] == "NOT_FOUND UPLOAD_NOT_FOUND"


async def test_urls_of_files_are_given_to_those_only_who_reach_the_run(world: World, guarded: Guarded) -> None:
    everybody = Calls(guarded.channel)
    (digest,) = await everybody.store(b"weights" * 100)
    await everybody.bind(world.ours.run, {"outputs/model": digest})
    request = artifacts.GetDownloadUrlsRequest(run=world.ours.run, paths=["outputs/model"])

    codes = {
        who: (await answer(stubs.artifacts(channel).GetDownloadUrls(request)))[0]
        for who, channel in world.callers.items()
    }

    may = {"reader", "writer", "admin", "operator", "of the run", "of the run above"}
    assert {who for who, code in codes.items() if code == "OK"} == may


async def test_a_child_is_made_from_no_foreign_experiment(world: World) -> None:
    theirs = replace(world.ours, experiment=world.theirs.experiment)
    request = new_run(parent=world.ours.run, experiment=theirs.experiment)

    code, _ = await answer(history(world.callers["of the run"], "CreateRun", request))

    assert code == "NOT_FOUND EXPERIMENT_NOT_FOUND"
