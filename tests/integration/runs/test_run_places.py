"""Workspaces, experiments and the rest of the methods on a port, as a client sees them."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.runs.v1 import experiment_pb2, run_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as m
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.run_pb2 import MetricSummary, Run, RunWarning
from runstream.api.runs.v1.workspace_pb2 import Tag, Workspace

TEAM = "workspaces/team"


async def test_a_workspace_from_its_creation_to_its_end(runs: Any) -> None:
    given = Workspace(description="for tests", tags=[Tag(key="b", value="1"), Tag(key="a")])
    created = (await runs.CreateWorkspace(m.CreateWorkspaceRequest(workspace_id="lab", workspace=given))).workspace
    request = m.CreateWorkspaceRequest(workspace_id="lab", return_existing=True)
    existing = (await runs.CreateWorkspace(request)).workspace
    change = Workspace(name="workspaces/lab", display_name="The lab", tags=[Tag(key="c")], description="ignored")
    mask = FieldMask(paths=["display_name", "tags"])
    updated = (await runs.UpdateWorkspace(m.UpdateWorkspaceRequest(workspace=change, update_mask=mask))).workspace
    pages = [await runs.ListWorkspaces(m.ListWorkspacesRequest(page_size=1))]
    while pages[-1].next_page_token:
        token = pages[-1].next_page_token
        pages.append(await runs.ListWorkspaces(m.ListWorkspacesRequest(page_size=1, page_token=token)))
    await runs.DeleteWorkspace(m.DeleteWorkspaceRequest(name="workspaces/lab"))
    after = await runs.ListWorkspaces(m.ListWorkspacesRequest())

    assert (created.name, created.display_name, created.description) == ("workspaces/lab", "lab", "for tests")
    assert [(tag.key, tag.HasField("value")) for tag in created.tags] == [("a", False), ("b", True)]
    assert existing == created
    assert (updated.display_name, updated.description, [tag.key for tag in updated.tags]) == (
        "The lab",
        "for tests",
        ["c"],
    )
    assert [workspace.name for page in pages for workspace in page.workspaces] == ["workspaces/lab", TEAM]
    assert [workspace.name for workspace in after.workspaces] == [TEAM]


async def test_an_experiment_from_its_creation_to_its_end(runs: Any, experiment: str) -> None:
    change = Experiment(name=experiment, display_name="letters", description="a to z")
    mask = FieldMask(paths=["display_name", "description"])
    updated = (await runs.UpdateExperiment(m.UpdateExperimentRequest(experiment=change, update_mask=mask))).experiment
    tags = (await runs.ModifyTags(m.ModifyTagsRequest(name=experiment, set=[Tag(key="a", value="b")]))).tags
    archived = (await runs.ArchiveExperiment(m.ArchiveExperimentRequest(name=experiment))).experiment
    views = {
        view: len((await runs.ListExperiments(m.ListExperimentsRequest(parent=TEAM, view=view))).experiments)
        for view in experiment_pb2.ExperimentView.values()
    }
    active = (await runs.ReactivateExperiment(m.ReactivateExperimentRequest(name=experiment))).experiment
    found = (await runs.GetExperiment(m.GetExperimentRequest(name=experiment))).experiment
    await runs.DeleteExperiment(m.DeleteExperimentRequest(name=experiment))

    assert (updated.display_name, updated.description) == ("letters", "a to z")
    assert list(tags) == [Tag(key="a", value="b")] == list(found.tags)
    assert archived.HasField("archive_time")
    assert list(views.values()) == [0, 0, 1, 1]
    assert not active.HasField("archive_time")
    assert found == active
    assert not (await runs.ListExperiments(m.ListExperimentsRequest(parent=TEAM))).experiments


async def test_runs_are_got_by_name_in_the_order_asked_for(runs: Any, create: Any) -> None:
    made = {run_id: await create(run_id=run_id) for run_id in "abc"}
    names = [made[run_id].name for run_id in "cab"]
    found = await runs.BatchGetRuns(m.BatchGetRunsRequest(parent=TEAM, names=names))

    assert list(found.runs) == [made[run_id] for run_id in "cab"]


async def test_deleted_runs_are_found_by_name_and_can_be_restored(runs: Any, create: Any) -> None:
    run = await create(run_id="a")
    names = m.DeleteRunsRequest(parent=TEAM, names=[run.name])
    counts = [(await runs.DeleteRuns(names)).changed_count for _ in range(2)]
    listed = await runs.ListRuns(m.ListRunsRequest(parent=TEAM))
    shown = await runs.ListRuns(m.ListRunsRequest(parent=TEAM, show_deleted=True))
    found = (await runs.GetRun(m.GetRunRequest(name=run.name))).run
    counts.append((await runs.RestoreRuns(m.RestoreRunsRequest(parent=TEAM, names=[run.name]))).changed_count)
    restored = (await runs.GetRun(m.GetRunRequest(name=run.name))).run

    assert counts == [1, 0, 1]
    assert (len(listed.runs), len(shown.runs)) == (0, 1)
    assert found.HasField("delete_time")
    assert not restored.HasField("delete_time")


async def test_metric_summaries_are_shown_in_full_views_only(runs: Any, create: Any) -> None:
    run = await create(run_id="a")
    summaries = [
        MetricSummary(metric="loss", last=float("inf"), min=0.5, max=float("inf"), count=3, revision=9),
        MetricSummary(metric="text", count=2, revision=1),
    ]
    of_run = m.RunMetricSummaries(run=run.name, summaries=summaries)
    of_none = m.RunMetricSummaries(run=f"{TEAM}/runs/none", summaries=summaries)
    await runs.RecordMetricSummaries(m.RecordMetricSummariesRequest(runs=[of_run, of_none]))
    full = (await runs.GetRun(m.GetRunRequest(name=run.name, view=run_pb2.RUN_VIEW_FULL))).run
    [listed] = (await runs.ListRuns(m.ListRunsRequest(parent=TEAM, view=run_pb2.RUN_VIEW_FULL))).runs
    basic = (await runs.GetRun(m.GetRunRequest(name=run.name))).run

    assert list(full.metric_summaries) == summaries == list(listed.metric_summaries)
    assert not basic.metric_summaries


async def test_a_run_is_changed_by_its_mask_only(runs: Any, create: Any) -> None:
    run = await create(run_id="a", description="old")
    change = Run(name=run.name, display_name="new", description="ignored", hidden=True)
    request = m.UpdateRunRequest(run=change, update_mask=FieldMask(paths=["display_name", "hidden"]))
    updated = (await runs.UpdateRun(request)).run
    await runs.AddWarnings(m.AddWarningsRequest(name=run.name, warnings=[RunWarning(source="s", message="careful")]))
    found = (await runs.GetRun(m.GetRunRequest(name=run.name))).run

    assert (updated.display_name, updated.description, updated.hidden) == ("new", "old", True)
    assert [(warning.source, warning.message) for warning in found.warnings] == [("s", "careful")]
    assert found.warnings[0].HasField("time")


async def test_credentials_in_addresses_are_not_recorded(runs: Any, create: Any) -> None:
    key = "azureml.git.repository_uri"
    run = await create(properties={key: "https://me:secret@host.example/repo"})
    request = m.AddPropertiesRequest(
        name=run.name,
        properties={
            key: "https://me:other@host.example/repo",
            "mlflow.source.git.repoURL": "https://token@host.example/x",
        },
    )
    properties = dict((await runs.AddProperties(request)).properties)

    assert properties == {
        key: "https://host.example/repo",
        "mlflow.source.git.repoURL": "https://host.example/x",
    }


@pytest.mark.parametrize("count", [1, 2])
async def test_pages_go_on_on_another_server(runs: Any, create: Any, replica: Any, count: int) -> None:
    from tests import stubs

    made = [(await create(run_id=run_id)).name for run_id in "abcd"]
    servers = [runs, stubs.run_history(replica.channel)]
    seen, token, turn = [], "", 0
    while turn == 0 or token:
        request = m.ListRunsRequest(parent=TEAM, order_by="run_id", page_size=count, page_token=token)
        page = await servers[turn % 2].ListRuns(request)
        seen += [run.name for run in page.runs]
        token, turn = page.next_page_token, turn + 1

    assert seen == made
