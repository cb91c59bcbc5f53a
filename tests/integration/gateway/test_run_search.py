"""`runs/search`: which runs it finds, in which order, on which page."""

import math
from typing import Any

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from tests import stubs
from tests.conftest import Backend
from tests.gateways import Gateway
from tests.searched_runs import START, Experiment, log, make_experiment, make_runs, new_run, search, values_of


async def _complete(backend: Backend, run_id: str, after: int) -> None:
    request = messages.CompleteRunRequest(name=f"workspaces/space/runs/{run_id}")
    request.end_time.FromMilliseconds(START + after)
    await stubs.run_history(backend.channel).CompleteRun(request)


async def _delete(backend: Backend, *run_ids: str) -> None:
    names = [f"workspaces/space/runs/{run_id}" for run_id in run_ids]
    await stubs.run_history(backend.channel).DeleteRuns(
        messages.DeleteRunsRequest(parent="workspaces/space", names=names)
    )


async def test_filters_admit_what_they_say(backend: Backend, gateway: Gateway, experiment: Experiment) -> None:
    runs = [
        new_run("a", 10, display_name="first", creator="ann", tags={"team": "x", "empty": ""}, params={"lr": "0.1"}),
        new_run("b", 20, display_name="Second", tags={"team": 'y "*"'}, params={"lr": "0.2", "a b": "c"}),
        new_run("c", 30, display_name="third", properties={"mlflow.source.name": "t.py", "other": "x"}),
    ]
    await make_runs(backend.channel, experiment, runs)
    child = new_run("d", None, display_name="fourth", parent="workspaces/space/runs/a")
    await make_runs(backend.channel, experiment, [child])
    await _complete(backend, "a", 1_000)
    await log(backend.channel, "a", loss=[(1, 0.5), (0, 9.0)], nan=[(0, math.nan)])
    await log(backend.channel, "b", loss=[(0, 9.0), (1, 1.5)])

    expected = {
        "": "abcd",
        "metrics.loss < 1": "a",
        "metric.`loss` >= 0.5": "ab",
        "metrics.loss != 0.5": "b",
        "metrics.nan != 1": "a",
        "metrics.other = 1": "",
        "params.lr = '0.1'": "a",
        "param.lr != '0.1'": "b",
        "parameters.`a b` LIKE '%'": "b",
        "params.lr IS NULL": "cd",
        "tags.team = 'x'": "a",
        "tag.team = 'y \"*\"'": "b",
        "tags.team ILIKE 'Y%'": "b",
        "tags.empty = ''": "a",
        "tags.empty IS NOT NULL": "a",
        "tags.mlflow.runName = 'third'": "c",
        "tags.mlflow.source.name = 't.py'": "c",
        "tags.other IS NOT NULL": "",
        "tags.`mlflow.parentRunId` = 'a'": "d",
        "run_id = 'a'": "a",
        "run_id IN ('a', 'c', 'no/run')": "ac",
        "attributes.run_id NOT IN ('a', 'c')": "bd",
        f"run_id IN ('a', {', '.join(repr('x' * 32) for _ in range(1_000))})": "a",
        "\"Run name\" = 'Second'": "b",
        "attr.run_name ILIKE 'second'": "b",
        "status = 'FINISHED'": "a",
        "run.status != 'RUNNING'": "ad",
        "status = 'SCHEDULED'": "d",
        "status = 'LOST'": "",
        "user_id = 'ann'": "a",
        "user_id = 'unknown'": "bcd",
        f"artifact_uri = 'mlflow-artifacts:/{experiment.id}/a/artifacts'": "a",
        f"start_time = {START + 20}": "b",
        f"created > {START + 20}": "cd",
        f"attributes.start_time <= {START + 20}": "ab",
        f"end_time >= {START + 1_000}": "a",
        f"end_time < {START + 1_000}": "",
        f"start_time > {START + 10} AND metrics.loss > 1 and params.lr = '0.2'": "b",
    }
    for text, found in expected.items():
        assert "".join(sorted(await search(gateway, experiment, filter=text))) == found, text


async def test_runs_come_by_their_start_then_by_id(backend: Backend, gateway: Gateway, experiment: Experiment) -> None:
    starts = {"c": 5, "a": 5, "b": 5, "x": 7, "y": 3}
    await make_runs(backend.channel, experiment, [new_run(run_id, start) for run_id, start in starts.items()])
    await make_runs(backend.channel, experiment, [new_run("waits", None)])

    assert await search(gateway, experiment) == ["waits", "x", "a", "b", "c", "y"]
    assert await search(gateway, experiment, max_results=2) == ["waits", "x", "a", "b", "c", "y"]
    backwards = await search(gateway, experiment, order_by=["start_time ASC"], max_results=1)
    assert backwards == ["y", "a", "b", "c", "x", "waits"]
    assert await search(gateway, experiment, order_by=["Created", "run_id DESC"], max_results=2) == [
        *("y", "c", "b", "a"),
        *("x", "waits"),
    ]


async def test_orders_leave_absent_values_and_nan_at_the_end(
    backend: Backend, gateway: Gateway, experiment: Experiment
) -> None:
    values = {"a": 1.0, "b": math.nan, "c": -math.inf, "d": math.inf, "e": 1.0}
    runs = [new_run(run_id, ord(run_id), params={"p": run_id} if run_id in "ab" else {}) for run_id in "abcdef"]
    await make_runs(backend.channel, experiment, runs)
    for run_id, value in values.items():
        await log(backend.channel, run_id, m=[(0, value)])

    expected = {
        "metrics.m": "ceadfb",
        "metrics.`m` DESC": "deacfb",
        "params.p": "abfedc",
        "params.p DESC": "bafedc",
        "attributes.end_time": "fedcba",
        "tags.`mlflow.user`": "fedcba",
        "run_id ASC": "abcdef",
    }
    for order, found in expected.items():
        for most in (1, 2, 10):
            assert "".join(await search(gateway, experiment, order_by=[order], max_results=most)) == found, order
    assert "".join(await search(gateway, experiment, order_by=["metrics.m DESC", "run_id ASC"])) == "daecbf"


async def test_metrics_are_those_of_the_greatest_step_as_soon_as_they_are_stored(
    backend: Backend, gateway: Gateway, experiment: Experiment
) -> None:
    await make_runs(backend.channel, experiment, [new_run("a")])
    await log(backend.channel, "a", 1, loss=[(5, 0.5)], other=[(0, 1.0)])
    await log(backend.channel, "a", 2, loss=[(4, 0.4)])

    answer = await gateway.post("runs/search", experiment_ids=[experiment.id], filter="metrics.loss = 0.5")

    [run] = answer.found()["runs"]
    assert values_of(run["data"]["metrics"]) == {"loss": 0.5, "other": 1.0}
    assert run["info"]["experiment_id"] == experiment.id


async def test_the_view_tells_deleted_runs_from_others(
    backend: Backend, gateway: Gateway, experiment: Experiment
) -> None:
    archived = await make_experiment(backend.channel, gateway, "archived")
    await make_runs(backend.channel, experiment, [new_run("a"), new_run("b"), new_run("hidden", hidden=True)])
    await make_runs(backend.channel, archived, [new_run("c")])
    await _delete(backend, "b")
    await stubs.run_history(backend.channel).ArchiveExperiment(messages.ArchiveExperimentRequest(name=archived.name))

    views: dict[str | int | None, str] = {
        None: "a",
        "ACTIVE_ONLY": "a",
        "DELETED_ONLY": "bc",
        "ALL": "abc",
        1: "a",
        2: "bc",
        3: "abc",
    }
    for view, found in views.items():
        for order in ("start_time", "metrics.m"):
            ids = await search(gateway, experiment, archived, run_view_type=view, order_by=[order])
            assert "".join(ids) == found, view
    answer = await gateway.post("runs/search", experiment_ids=[experiment.id], run_view_type="NONE")
    assert answer.error[2].startswith("Invalid value \"NONE\" for parameter 'run_view_type' supplied")


async def test_only_the_experiments_asked_for_are_searched(
    backend: Backend, gateway: Gateway, experiment: Experiment
) -> None:
    other = await make_experiment(backend.channel, gateway, "other")
    await make_runs(backend.channel, experiment, [new_run("a")])
    await make_runs(backend.channel, other, [new_run("b")])
    many = [str(each) for each in range(1_000, 1_100)]
    unknown = [Experiment("", each) for each in ["77", "x", "-1", "", "9" * 30, "٣", *many]]

    assert await search(gateway, experiment) == ["a"]
    assert await search(gateway, other, *unknown) == ["b"]
    assert await search(gateway, experiment, other) == ["a", "b"]
    assert await search(gateway) == []
    assert await search(gateway, *unknown) == []
    assert (await gateway.post("runs/search")).found() == {}


async def test_datasets_are_searched_by_name_digest_and_context(
    backend: Backend, gateway: Gateway, experiment: Experiment
) -> None:
    await make_runs(backend.channel, experiment, [new_run("a"), new_run("b"), new_run("c")])
    for run_id, name, context in [("a", "iris", "train"), ("a", "wine", ""), ("b", "wine", "test")]:
        dataset = {"name": name, "digest": f"of {name}", "source_type": "local", "source": "here"}
        tags = [{"key": "mlflow.data.context", "value": context}] if context else []
        told = [{"dataset": dataset, "tags": tags}]
        (await gateway.post("runs/log-inputs", run_id=run_id, datasets=told)).found()

    for text, found in {
        "datasets.name = 'iris'": "a",
        "dataset.name = 'wine' AND dataset.name = 'iris'": "a",
        "datasets.name LIKE '%i%'": "ab",
        "datasets.digest IN ('of wine')": "ab",
        "datasets.context != 'train'": "b",
        "datasets.context NOT IN ('test')": "a",
    }.items():
        assert "".join(sorted(await search(gateway, experiment, filter=text))) == found, text
    answer = await gateway.post("runs/search", experiment_ids=[experiment.id], filter="datasets.context = 'test'")
    [run] = answer.found()["runs"]
    assert run["inputs"]["dataset_inputs"][0]["dataset"]["name"] == "wine"


async def test_what_is_wrong_is_told(backend: Backend, gateway: Gateway, experiment: Experiment) -> None:
    await make_runs(backend.channel, experiment, [new_run("a"), new_run("b")])
    ids: dict[str, Any] = {"experiment_ids": [experiment.id]}
    token = (await gateway.post("runs/search", **ids, max_results=1)).found()["next_page_token"]

    bodies: list[tuple[dict[str, Any], str]] = [
        ({"filter": "status = FAILED"}, "Invalid clause(s) in filter string: 'status = FAILED'"),
        ({"order_by": ["datasets.name"]}, "Invalid order_by clause 'datasets.name'"),
        ({"max_results": 50_001}, "Invalid value 50001 for parameter 'max_results' supplied"),
        ({"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied"),
        ({"page_token": "x"}, "Invalid page_token"),
        ({"page_token": token, "filter": "run_id != 'a'"}, "Invalid page_token"),
        ({"page_token": token, "order_by": ["run_id"]}, "Invalid page_token"),
        ({"page_token": token, "run_view_type": "ALL"}, "Invalid page_token"),
        ({"page_token": token, "experiment_ids": []}, "Invalid page_token"),
    ]
    for body, message in bodies:
        answer = await gateway.post("runs/search", **(ids | body))
        assert answer.error[:2] == (400, "INVALID_PARAMETER_VALUE")
        assert answer.error[2].startswith(message)
    most = await gateway.post("runs/search", **ids, max_results=50_000, page_token=token)
    assert [run["info"]["run_id"] for run in most.found()["runs"]] == ["b"]
