"""`runstream run ...` against the run history."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from runstream.api.metrics.v1.metrics_service_pb2 import LogMetricsRequest, MetricBatch
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.run_pb2 import Run, RunError
from tests import stubs
from tests.append_clients import doubles
from tests.command_line import Cli, MakeRun
from tests.conftest import Backend

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub


def ids(documents: list[dict[str, Any]]) -> list[str]:
    return [document["run_id"] for document in documents]


async def test_runs_are_listed_newest_first_and_selected_by_every_option(cli: Cli, make_run: MakeRun) -> None:
    await make_run("first", tags={"quality": "fantastic run"}, properties={"author": "azureml-user"}, target="local")
    await make_run("second", tags={"worth another look": None}, properties={"author": "azureml-user"})
    await make_run("child", parent="second", properties={"azureml.pipelinerunid": "second"})
    await make_run("other", experiment="cats")

    calls = {
        "all": (),
        "experiment": ("-e", "digits"),
        "last": ("--last", "1"),
        "unlimited": ("--last", "0"),
        "children": ("--parent-run-id", "second"),
        "steps": ("--pipeline-run-id", "second"),
        "every level": ("--include-children",),
        "target": ("--compute-target-name", "local"),
        "running": ("--status", "running"),
        "failed": ("--status", "Failed"),
        "tag": ("--tags", "quality=fantastic run"),
        "mark": ("--tags", "worth another look"),
        "two tags": ("--tags", "quality", "--tags", "worth another look"),
        "filter": ("--filter", 'run_id = "f*" OR run_id = "other"'),
        "order": ("--order-by", "run_id"),
    }
    outcomes = await asyncio.gather(*(cli("run", "list", *options) for options in calls.values()))

    assert {name: ids(outcome.result) for name, outcome in zip(calls, outcomes, strict=True)} == {
        "all": ["other", "second", "first"],
        "experiment": ["second", "first"],
        "last": ["other"],
        "unlimited": ["other", "second", "first"],
        "children": ["child"],
        "steps": ["child"],
        "every level": ["other", "child", "second", "first"],
        "target": ["first"],
        "running": ["other", "second", "first"],
        "failed": [],
        "tag": ["first"],
        "mark": ["second"],
        "two tags": [],
        "filter": ["other", "first"],
        "order": ["first", "other", "second"],
    }


@pytest.mark.parametrize("word", [("--query",), ()])
async def test_the_published_queries_work_with_and_without_the_word_query(
    cli: Cli, make_run: MakeRun, word: tuple[str, ...]
) -> None:
    await make_run("both", tags={"quality": "fantastic run"}, properties={"author": "azureml-user"})
    await make_run("author", tags={"worth another look": None}, properties={"author": "azureml-user"})
    await make_run("neither")

    by_author, by_tag, by_both, properties = await asyncio.gather(
        cli("run", "list", *word, "[?properties.author=='azureml-user']"),
        cli("run", "list", *word, "[?tags.keys(@)[?starts_with(@, 'worth another look')]]"),
        cli("run", "list", *word, "[?properties.author=='azureml-user' && tags.quality=='fantastic run']"),
        cli("run", "list", *word, "[].properties"),
    )

    assert ids(by_author.result) == ["author", "both"]
    assert ids(by_tag.result) == ["author"]
    assert ids(by_both.result) == ["both"]
    assert properties.result == [{}, {"author": "azureml-user"}, {"author": "azureml-user"}]


async def test_more_runs_than_a_page_are_all_listed(cli: Cli, make_run: MakeRun, history: Any) -> None:
    first = await make_run("first")
    requests = [api.CreateRunRequest(run=Run(experiment=first.experiment), run_id=f"r{n}") for n in range(1200)]
    await history.BatchCreateRuns(api.BatchCreateRunsRequest(parent="workspaces/default", requests=requests))

    listed, counted = await asyncio.gather(
        cli("run", "list", "--last", "1100", "--minimal", "-o", "tsv"),
        cli("run", "list", "--last", "0", "--query", "length(@)"),
    )

    assert len(listed.out.splitlines()) == 1100
    assert counted.result == 1201


async def test_a_run_is_shown_in_every_format(
    cli: Cli, make_run: MakeRun, history: "RunHistoryServiceAsyncStub"
) -> None:
    run = await make_run("failed", tags={"mark": None}, description="two\nlines")
    error = RunError(code="UserError", message="no data", exception_type="ValueError", stack_trace="File train.py")
    await history.FailRun(api.FailRunRequest(name=run.name, error=error))

    as_json, as_yaml, as_table, as_nothing, copied, minimal = await asyncio.gather(
        cli("run", "show", "-r", "failed"),
        cli("run", "show", "-r", "failed", "-o", "yaml"),
        cli("-o", "table", "run", "show", "-r", "failed"),
        cli("run", "-o", "none", "show", "-r", "failed"),
        cli("run", "show", "--run", "failed", "-t", "copy.json", "--query", "status"),
        cli("run", "list", "--minimal"),
    )

    assert as_json.result["status"] == "Failed"
    assert as_json.result["tags"] == {"mark": None}
    assert as_json.result["error"]["error"]["message"] == "no data"
    assert "status: Failed" in as_yaml.out
    assert "no data" in as_table.out
    assert as_nothing.out == ""
    assert copied.result == "Failed"
    assert json.loads((cli.folder / "copy.json").read_text()) == as_json.result
    assert minimal.result[0]["RunId"] == "failed"
    assert minimal.result[0]["EndTime"] == as_json.result["end_time_utc"]


async def test_a_run_shows_how_many_values_were_refused(cli: Cli, make_run: MakeRun, backend: Backend) -> None:
    run = await make_run("poisoned")
    refused = [doubles("x" * 256, [1.0, 2.0]), *(doubles(f"{number}\0", [1.0]) for number in range(7))]
    await stubs.metrics(backend.channel).LogMetrics(
        LogMetricsRequest(run=run.name, writer="writer", batch=MetricBatch(sequence=1, series=refused))
    )

    shown = await cli("run", "show", "-r", "poisoned")

    (warning,) = shown.result["warnings"]
    assert warning["source"] == "metrics"
    assert warning["message"].startswith("Values refused in all: 9 (INVALID_NAME: ")
    assert warning["message"].endswith(", 3 of other metrics")


async def test_an_update_changes_what_it_names_and_nothing_else(cli: Cli, make_run: MakeRun) -> None:
    await make_run("a", tags={"stays": "1", "goes": "2"}, description="as before")

    changed = await cli("run", "update", "-r", "a", "--add-tag", "k=v", "--add-tag", "mark", "--remove-tag", "goes")
    renamed = await cli("run", "update", "-r", "a", "--display-name", "best", "--add-tag", "stays=3")

    assert changed.result["tags"] == {"k": "v", "mark": None, "stays": "1"}
    assert renamed.result["display_name"] == "best"
    assert renamed.result["description"] == "as before"
    assert renamed.result["tags"]["stays"] == "3"


async def test_cancelling_says_what_it_did(cli: Cli, make_run: MakeRun) -> None:
    await make_run("parent")
    await make_run("one", parent="parent")
    await make_run("two", parent="parent")

    alone = await cli("run", "cancel", "-r", "one")
    again = await cli("run", "cancel", "-r", "one")
    tree = await cli("run", "cancel", "-r", "parent", "--recursive")
    listed = await cli("run", "list", "--include-children", "--query", "[].status")

    assert alone.result == "Run one was canceled successfully."
    assert again.result == "Run one had ended before as Canceled; nothing was changed."
    assert tree.result == "Run parent and 1 below it were canceled successfully."
    assert set(listed.result) == {"Canceled"}


async def test_what_goes_wrong_has_its_own_exit_code_and_one_line(cli: Cli, make_run: MakeRun) -> None:
    await make_run("a")

    calls = [
        (("run", "show", "-r", "none"), 3, "none"),
        (("run", "show", "-r", "a/b"), 2, ""),
        (("run", "metrics", "-r", "none"), 3, "none"),
        (("run", "metrics", "-r", "none", "--name", "loss"), 3, "none"),
        (("run", "monitor-logs", "-r", "none"), 3, "none"),
        (("run", "download-logs", "-r", "none"), 3, "none"),
        (("artifact", "ls", "-r", "none"), 3, "none"),
        (("artifact", "get", "-r", "a", "nothing"), 3, "nothing"),
        (("run", "list", "-w", "nowhere"), 3, "nowhere"),
        (("run", "list", "--filter", "status ="), 2, ""),
        (("run", "list", "--order-by", "colour"), 2, "colour"),
        (("run", "list", "--query", "[].keys(run_id)"), 2, "keys"),
        (("experiment", "show", "-e", "none"), 3, "none"),
        (("workspace", "create", "-w", "default"), 5, "default"),
        (("workspace", "create", "-w", "?"), 2, "workspace"),
        (("workspace", "delete", "-w", "default", "--yes"), 5, "experiment"),
        (("run", "update", "-r", "a", "--add-tag", "k=v", "--remove-tag", "k"), 2, "k"),
    ]
    outcomes = await asyncio.gather(*(cli(*arguments, code=code) for arguments, code, _ in calls))

    for (arguments, _, said), outcome in zip(calls, outcomes, strict=True):
        assert said in outcome.err, arguments
        assert outcome.out == "", arguments
