"""Pages of `runs/search`, and what is read for them."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.gateway.mlflow.experiments.known import KnownExperiments
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.runs.searching import RunSearch
from runstream_server.gateway.store.experiments import ExperimentStore
from runstream_server.gateway.store.inputs import InputStore
from runstream_server.gateway.visitors import Services, Visitor
from runstream_server.names import WorkspaceName
from runstream_server.postgres import Postgres
from tests import stubs
from tests.conftest import Backend
from tests.gateways import Gateway
from tests.searched_runs import Experiment, make_experiment, make_runs, new_run, search

LIST_RUNS = {"method": "/runstream.api.runs.v1.RunHistoryService/ListRuns", "code": "OK"}


async def test_pages_stay_exact_while_runs_are_added(
    backend: Backend, gateway: Gateway, experiment: Experiment
) -> None:
    await make_runs(backend.channel, experiment, [new_run(f"r{each}", 5) for each in range(6)])
    for name, order in (("later", []), ("latest", ["metrics.m DESC"])):
        body: dict[str, Any] = {
            "experiment_ids": [experiment.id],
            "order_by": order,
            "filter": "run_id LIKE 'r%'",
            "max_results": 3,
        }
        first = (await gateway.post("runs/search", **body)).found()
        await make_runs(backend.channel, experiment, [new_run(f"r-{name}", 9)])
        second = (await gateway.post("runs/search", **body, page_token=first["next_page_token"])).found()

        pages = [run["info"]["run_id"] for page in (first, second) for run in page["runs"]]
        before = [] if name == "later" else ["r-later"]
        assert pages == [*before, "r0", "r1", "r2", "r3", "r4", "r5"][:6]
        assert ("next_page_token" in second) == bool(before)


async def test_so_many_experiments_that_no_filter_has_room_for_them_are_searched(
    backend: Backend, gateway: Gateway, experiment: Experiment
) -> None:
    await make_runs(backend.channel, experiment, [new_run("other")])
    experiments = [await make_experiment(backend.channel, gateway, f"e{each}") for each in range(42)]
    for place, each in enumerate(experiments[::10]):
        await make_runs(backend.channel, each, [new_run(f"r{place}", place)])

    assert await search(gateway, *experiments, max_results=2) == ["r4", "r3", "r2", "r1", "r0"]


async def test_by_start_no_more_runs_are_read_than_it_takes(
    backend: Backend, gateway: Gateway, experiment: Experiment
) -> None:
    await make_runs(backend.channel, experiment, [new_run(f"r{each}", each) for each in range(60)])

    async def listings(**body: Any) -> float:
        before = _listings()
        (await gateway.post("runs/search", experiment_ids=[experiment.id], **body)).found()
        return _listings() - before

    assert await listings(max_results=5) == 2
    assert await listings(max_results=5, order_by=["attributes.start_time ASC", "metrics.m"]) == 2
    assert await listings(max_results=5, order_by=["metrics.m"]) == 1


def _listings() -> float:
    return REGISTRY.get_sample_value("runstream_rpc_handled_total", LIST_RUNS) or 0.0


async def test_a_run_that_starts_is_on_one_page_only(
    backend: Backend, gateway: Gateway, experiment: Experiment
) -> None:
    await make_runs(backend.channel, experiment, [new_run("a", None), new_run("b", 1)])
    request = messages.StartRunRequest(name="workspaces/space/runs/a")
    before = await search(gateway, experiment)
    await stubs.run_history(backend.channel).StartRun(request)

    assert before == await search(gateway, experiment) == ["a", "b"]


@pytest.mark.parametrize("bounds", [{"patience": 1}, {"most_bytes": 1}, {"most_bytes": 600}])
async def test_pages_are_the_same_if_all_runs_are_read_for_them_or_few_runs_fit(
    backend: Backend, gateway: Gateway, experiment: Experiment, postgres: Postgres, bounds: dict[str, int]
) -> None:
    runs = [new_run(f"r{each}", None if each % 3 == 0 else each, params={"p": str(each % 2)}) for each in range(9)]
    await make_runs(backend.channel, experiment, runs)
    visitor = Visitor(WorkspaceName("space"), Services(backend.channel), None)
    known = KnownExperiments(ExperimentStore(postgres))
    body = {"experiment_ids": [experiment.id], "filter": "params.p LIKE '0'", "max_results": 2}

    [endpoint] = RunSearch(known, InputStore(postgres), **bounds).endpoints()
    found, token = list[str](), None
    while token != "":
        answer = await endpoint.answer(visitor, Fields(body | {"page_token": token}))
        found += [run["info"]["run_id"] for run in answer["runs"]]
        token = answer.get("next_page_token", "")

    assert found == await search(gateway, experiment, filter="params.p LIKE '0'") == ["r0", "r6", "r8", "r4", "r2"]
