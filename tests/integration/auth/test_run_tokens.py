"""The token of a run reaches this run and those below it."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts
from runstream.api.jobs.v1 import job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as jobs
from runstream.api.logs.v1 import log_service_pb2 as logs
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream.api.runs.v1 import run_pb2
from runstream_server.auth import Role
from tests import stubs
from tests.append_clients import failure_of_stream
from tests.artifact_calls import Calls
from tests.guarded import Guarded, outcome
from tests.make_runs import WORKSPACE, make_run
from tests.submitted import LOCAL, Submitter

RUN, CHILD, GRANDCHILD, OTHER = (f"{WORKSPACE}/runs/{each}" for each in ("run", "child", "grandchild", "other"))
MISSING = "NOT_FOUND RUN_NOT_FOUND"
REFUSED = "PERMISSION_DENIED ROLE_TOO_SMALL"


@dataclass(frozen=True)
class Family:
    """A run, one below it, one below that, and one of somebody else, with a channel for the token of the first."""

    guarded: Guarded
    channel: Any

    @property
    def runs(self) -> Any:
        return stubs.run_history(self.channel)


@pytest.fixture
async def family(guarded: Guarded) -> Family:
    """The family."""
    await make_run(guarded.channel, "run")
    await make_run(guarded.channel, "other")
    stub = stubs.run_history(guarded.channel)
    for run_id, parent in (("child", RUN), ("grandchild", CHILD)):
        await stub.CreateRun(
            runs.CreateRunRequest(parent=WORKSPACE, run=run_pb2.Run(parent=parent), run_id=run_id, start=True)
        )
    return Family(guarded, await guarded.calling(Role.RUN, run="run"))


async def test_it_reaches_the_run_and_those_below_it(family: Family) -> None:
    found = {
        name: await outcome(family.runs.Heartbeat(runs.HeartbeatRequest(name=name)))
        for name in (RUN, CHILD, GRANDCHILD, OTHER, f"{WORKSPACE}/runs/none")
    }

    assert list(found.values()) == ["OK", "OK", "OK", MISSING, MISSING]


async def test_one_foreign_name_among_many_is_not_found(family: Family) -> None:
    async def get(*names: str) -> str:
        return await outcome(family.runs.BatchGetRuns(runs.BatchGetRunsRequest(parent=WORKSPACE, names=names)))

    assert await get(RUN, CHILD, GRANDCHILD) == "OK"
    assert await get(CHILD, OTHER) == MISSING
    assert await get(CHILD, "workspaces/theirs/runs/run") == MISSING


@pytest.mark.parametrize(
    ("filter_", "listed"),
    [
        ('parent = "run"', {"child"}),
        (f'ancestor = "{RUN}"', {"child", "grandchild"}),
        ("root = run", {"child", "grandchild"}),
        ("ancestor = run OR run_id = other", {"child", "grandchild"}),
        ("NOT ancestor = run", set()),
        ("parent = other OR run_id:o OR hidden = false", {"child", "grandchild"}),
        ("run_id = other AND NOT parent = none", set()),
    ],
)
async def test_a_list_has_only_what_it_reaches(family: Family, filter_: str, listed: set[str]) -> None:
    response = await family.runs.ListRuns(runs.ListRunsRequest(parent=WORKSPACE, filter=filter_))

    assert {run.name.rpartition("/")[2] for run in response.runs} == listed


@pytest.mark.parametrize("filter_", ['parent = x) OR (run_id = "other"', 'parent = "', "OR parent = x", "\\"])
async def test_no_text_of_a_filter_gets_around_that(family: Family, filter_: str) -> None:
    refused = await outcome(family.runs.ListRuns(runs.ListRunsRequest(parent=WORKSPACE, filter=filter_)))

    assert refused in ("INVALID_ARGUMENT INVALID_FILTER", REFUSED)


async def test_there_is_no_list_of_the_whole_workspace(family: Family) -> None:
    assert await outcome(family.runs.ListRuns(runs.ListRunsRequest(parent=WORKSPACE))) == REFUSED
    assert await outcome(family.runs.ListExperiments(runs.ListExperimentsRequest(parent=WORKSPACE))) == REFUSED
    watch = family.runs.WatchRuns(runs.WatchRunsRequest(parent=WORKSPACE))
    assert (await failure_of_stream(watch)).reason == "ROLE_TOO_SMALL"
    search = stubs.logs(family.channel).SearchLogs(logs.SearchLogsRequest(parent=WORKSPACE, literal=b"x"))
    assert (await failure_of_stream(search)).reason == "ROLE_TOO_SMALL"


async def test_pages_of_a_confined_list_follow_each_other(family: Family) -> None:
    request = runs.ListRunsRequest(parent=WORKSPACE, filter="ancestor = run", page_size=1)
    first = await family.runs.ListRuns(request)
    request.page_token = first.next_page_token
    second = await family.runs.ListRuns(request)

    assert [run.name for page in (first, second) for run in page.runs] == [GRANDCHILD, CHILD]


async def test_a_token_of_a_page_of_somebody_else_is_none_of_its_own(family: Family) -> None:
    request = runs.ListRunsRequest(parent=WORKSPACE, filter="ancestor = run", page_size=1)
    theirs = await stubs.run_history(family.guarded.channel).ListRuns(request)
    request.page_token = theirs.next_page_token

    assert await outcome(family.runs.ListRuns(request)) == "INVALID_ARGUMENT INVALID_PAGE_TOKEN"


async def test_a_watch_tells_of_no_other_run(family: Family) -> None:
    watch = family.runs.WatchRuns(runs.WatchRunsRequest(parent=WORKSPACE, filter="parent = run AND status = Running"))
    await watch.read()
    everybody = stubs.run_history(family.guarded.channel)
    for name in (OTHER, CHILD):
        await everybody.CompleteRun(runs.CompleteRunRequest(name=name))

    async with asyncio.timeout(20):
        while not (changes := (await watch.read()).changes):
            pass

    assert [(change.run.name, change.kind) for change in changes] == [(CHILD, runs.RUN_CHANGE_KIND_OUTSIDE)]
    watch.cancel()


async def test_it_makes_runs_below_its_own_and_no_others(family: Family) -> None:
    async def create(**of_run: Any) -> str:
        return await outcome(family.runs.CreateRun(runs.CreateRunRequest(parent=WORKSPACE, run=run_pb2.Run(**of_run))))

    experiment = (await family.runs.GetRun(runs.GetRunRequest(name=RUN))).run.experiment
    assert await create(parent=CHILD) == "OK"
    assert await create(parent=RUN, experiment=experiment) == "OK"
    assert await create(parent=OTHER) == MISSING
    assert await create(experiment=experiment) == REFUSED
    foreign = f"{WORKSPACE}/experiments/00000000-0000-0000-0000-000000000000"
    assert await create(parent=RUN, experiment=foreign) == "NOT_FOUND EXPERIMENT_NOT_FOUND"
    batch = runs.BatchCreateRunsRequest(
        parent=WORKSPACE,
        requests=[runs.CreateRunRequest(run=run_pb2.Run(parent=RUN)), runs.CreateRunRequest(run=run_pb2.Run())],
    )
    assert await outcome(family.runs.BatchCreateRuns(batch)) == REFUSED
    batch.requests[1].run.parent = OTHER
    assert await outcome(family.runs.BatchCreateRuns(batch)) == MISSING
    batch.requests[1].run.parent = CHILD
    assert await outcome(family.runs.BatchCreateRuns(batch)) == "OK"


async def test_it_changes_nothing_of_its_experiment(family: Family) -> None:
    experiment = (await family.runs.GetRun(runs.GetRunRequest(name=RUN))).run.experiment

    assert await outcome(family.runs.ModifyTags(runs.ModifyTagsRequest(name=RUN, remove=["a"]))) == "OK"
    assert await outcome(family.runs.ModifyTags(runs.ModifyTagsRequest(name=experiment, remove=["a"]))) == REFUSED


async def test_it_searches_the_logs_of_what_it_reaches(family: Family) -> None:
    stub = stubs.logs(family.channel)

    async def end(**of_search: Any) -> tuple[str, int]:
        search = stub.SearchLogs(logs.SearchLogsRequest(parent=WORKSPACE, literal=b"x", **of_search))
        failure = await failure_of_stream(search)
        return failure.code.name, len(failure.reason)

    assert await end(runs=[RUN, CHILD]) == ("OK", 0)
    assert await end(filter="ancestor = run") == ("OK", 0)
    assert (await end(runs=[RUN, OTHER]))[0] == "NOT_FOUND"


async def test_it_submits_runs_below_its_own(family: Family) -> None:
    submitter = Submitter(family.channel, "")

    async def submit(**of_run: Any) -> str:
        return await outcome(submitter.submit(run=run_pb2.Run(**of_run)))

    assert await submit(parent=CHILD) == "OK"
    assert await submit(parent=OTHER) == MISSING
    assert await submit() == REFUSED


async def test_it_reads_what_its_runs_were_made_from(family: Family) -> None:
    everybody, mine = Calls(family.guarded.channel), stubs.artifacts(family.channel)
    made = [
        await everybody.snapshot([artifacts.SnapshotEntry(path=place, folder=True)])
        for place in ("own", "below", "submitted", "other")
    ]
    names = [each.snapshot.name for each in made]
    history = stubs.run_history(family.guarded.channel)
    for run, name in zip((RUN, GRANDCHILD, OTHER), (names[0], names[1], names[3]), strict=True):
        properties = {"ContentSnapshotId": name.rpartition("/")[2]}
        await history.AddProperties(runs.AddPropertiesRequest(name=run, properties=properties))

    async def read(name: str, stub: Any = mine) -> str:
        return await outcome(stub.GetSnapshot(artifacts.GetSnapshotRequest(name=name)))

    unknown = f"{WORKSPACE}/snapshots/{'0' * 64}"
    gone = "NOT_FOUND SNAPSHOT_NOT_FOUND"
    assert [await read(name) for name in (*names, unknown)] == ["OK", "OK", gone, gone, gone]
    experiment = (await history.GetRun(runs.GetRunRequest(name=RUN))).run.experiment
    definition = job_pb2.JobDefinition(script="submitted.py", snapshot=names[2])
    submitted = await Submitter(family.guarded.channel, experiment).submit(definition, run_id="submitted")
    of_submitted = stubs.artifacts(await family.guarded.calling(Role.RUN, run="submitted"))
    assert submitted.run.name == f"{WORKSPACE}/runs/submitted"
    assert [await read(name, of_submitted) for name in names] == [gone, gone, "OK", gone]


async def test_it_reads_what_a_child_needs_of_the_workspace(family: Family) -> None:
    stub = stubs.jobs(family.channel)
    experiment = (await family.runs.GetRun(runs.GetRunRequest(name=RUN))).run.experiment

    assert await outcome(family.runs.GetWorkspace(runs.GetWorkspaceRequest(name=WORKSPACE))) == "OK"
    assert await outcome(family.runs.GetExperiment(runs.GetExperimentRequest(name=experiment))) == "OK"
    assert await outcome(stub.GetComputeTarget(jobs.GetComputeTargetRequest(name=LOCAL))) == "OK"
    assert await outcome(stub.ListEnvironments(jobs.ListEnvironmentsRequest(parent=WORKSPACE))) == "OK"
    assert await outcome(stub.ListAgents(jobs.ListAgentsRequest(parent=LOCAL))) == REFUSED


async def test_a_deleted_run_has_tokens_that_reach_nothing(family: Family) -> None:
    history = stubs.run_history(family.guarded.channel)
    await history.DeleteRuns(runs.DeleteRunsRequest(parent=WORKSPACE, names=[RUN]))

    assert await outcome(family.runs.GetRun(runs.GetRunRequest(name=RUN))) == MISSING
    assert await outcome(family.runs.GetRun(runs.GetRunRequest(name=CHILD))) == MISSING
    missing = "NOT_FOUND WORKSPACE_NOT_FOUND"
    assert await outcome(family.runs.GetWorkspace(runs.GetWorkspaceRequest(name=WORKSPACE))) == missing


async def test_series_of_several_runs_are_compared_only_if_all_are_reached(family: Family) -> None:
    stub = stubs.metrics(family.channel)

    async def reason(*names: str) -> str:
        request = metrics.CompareSeriesRequest(runs=names, metrics=["loss"], max_points=10)
        return (await failure_of_stream(stub.CompareSeries(request))).reason

    assert await reason(RUN, GRANDCHILD) == ""
    assert await reason(RUN, OTHER) == "RUN_NOT_FOUND"


async def test_a_cursor_names_no_other_run(family: Family) -> None:
    request = metrics.TailSeriesRequest(
        runs=[RUN], metrics=["loss"], cursor=[metrics.SeriesPosition(run=OTHER, metric="loss")]
    )

    failure = await failure_of_stream(stubs.metrics(family.channel).TailSeries(request))

    assert failure.reason == "RUN_NOT_FOUND"
