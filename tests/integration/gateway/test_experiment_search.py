"""`experiments/search`: which experiments it finds, in which order, on which page."""

from typing import Any

from runstream.api.runs.v1 import experiment_pb2, workspace_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.gateway.mlflow.experiments.known import KnownExperiments
from runstream_server.gateway.mlflow.experiments.searching import ExperimentSearch
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.store.experiments import ExperimentStore
from runstream_server.gateway.visitors import Services, Visitor
from runstream_server.names import WorkspaceName
from runstream_server.postgres import Postgres
from tests import stubs
from tests.conftest import Backend
from tests.gateways import Gateway


async def _make(backend: Backend, name: str, **tags: str) -> experiment_pb2.Experiment:
    experiment = experiment_pb2.Experiment(display_name=name)
    experiment.tags.extend(workspace_pb2.Tag(key=key, value=value) for key, value in tags.items())
    request = messages.CreateExperimentRequest(parent="workspaces/space", experiment=experiment)
    return (await stubs.run_history(backend.channel).CreateExperiment(request)).experiment


async def _names(gateway: Gateway, **body: Any) -> list[str]:
    """The names of the experiments that a search finds, page by page, by both methods."""
    ways = []
    for send in (gateway.post, gateway.get):
        found, token = list[str](), ""
        while True:
            answer = (await send("experiments/search", **body, page_token=token)).found()
            found += [each["name"] for each in answer.get("experiments", ())]
            token = answer.get("next_page_token", "")
            if not token:
                break
        ways.append(found)
    assert ways[0] == ways[1]
    return ways[0]


async def test_experiments_are_found_by_what_they_are(backend: Backend, gateway: Gateway) -> None:
    one = await _make(backend, "one", team="x")
    await _make(backend, "Other", team="y", note="")
    old = await _make(backend, "old")
    request = messages.ArchiveExperimentRequest(name=old.name)
    archived = (await stubs.run_history(backend.channel).ArchiveExperiment(request)).experiment
    made, changed = one.create_time.ToMilliseconds(), archived.update_time.ToMilliseconds()

    assert await _names(gateway) == ["Other", "one"]
    assert await _names(gateway, view_type="DELETED_ONLY") == ["old"]
    assert await _names(gateway, view_type=3) == ["old", "Other", "one"]
    for text, found in {
        "name = 'one'": ["one"],
        "attribute.name != 'one'": ["old", "Other"],
        "name LIKE 'o%'": ["old", "one"],
        "name ILIKE 'O%'": ["old", "Other", "one"],
        "tags.team = 'x'": ["one"],
        "tag.`team` != 'x'": ["Other"],
        "tags.note IS NOT NULL": ["Other"],
        "tags.team IS NULL": ["old"],
        f"creation_time <= {made} AND name = 'one'": ["one"],
        f"last_update_time >= {changed}": ["old"],
    }.items():
        assert await _names(gateway, filter=text, view_type="ALL") == found, text


async def test_experiments_come_in_the_order_asked_for_page_by_page(backend: Backend, gateway: Gateway) -> None:
    for name in ("b", "c", "a", "d"):
        await _make(backend, name, **({"t": name} if name in "bc" else {}))

    for most in (1, 3, 4):
        assert await _names(gateway, max_results=most) == ["d", "a", "c", "b"]
        assert await _names(gateway, order_by=["name"], max_results=most) == ["a", "b", "c", "d"]
        assert await _names(gateway, order_by=["creation_time ASC"], max_results=most) == ["b", "c", "a", "d"]
        assert await _names(gateway, order_by=["experiment_id DESC"], max_results=most) == ["d", "a", "c", "b"]
        assert await _names(gateway, order_by=["tags.t", "name DESC"], max_results=most) == ["b", "c", "d", "a"]


async def test_what_is_wrong_is_told(backend: Backend, gateway: Gateway) -> None:
    for name in ("a", "b"):
        await _make(backend, name)
    token = (await gateway.post("experiments/search", max_results=1)).found()["next_page_token"]

    bodies: list[tuple[dict[str, Any], str]] = [
        ({"filter": "name IN ('a')"}, "Invalid clause(s) in filter string: 'name IN ('a')'"),
        ({"filter": "experiment_id = 1"}, "Invalid clause(s) in filter string: 'experiment_id = 1'"),
        ({"order_by": ["metrics.a"]}, "Invalid order_by clause 'metrics.a'"),
        ({"max_results": 50_001}, "Invalid value 50001 for parameter 'max_results' supplied"),
        ({"view_type": 4}, "Invalid value 4 for parameter 'view_type' supplied"),
        ({"page_token": "x"}, "Invalid page_token"),
        ({"page_token": token, "filter": "name != 'c'"}, "Invalid page_token"),
    ]
    for body, message in bodies:
        answer = await gateway.post("experiments/search", **body)
        assert answer.error[:2] == (400, "INVALID_PARAMETER_VALUE")
        assert answer.error[2].startswith(message)
    assert len((await gateway.post("experiments/search", max_results=50_000)).found()["experiments"]) == 2


async def test_a_page_has_less_than_was_asked_for_where_experiments_are_large(
    backend: Backend, gateway: Gateway, postgres: Postgres
) -> None:
    for name in ("a", "b", "c"):
        await _make(backend, name)
    visitor = Visitor(WorkspaceName("space"), Services(backend.channel), None)
    endpoint, _ = ExperimentSearch(KnownExperiments(ExperimentStore(postgres)), most_bytes=1).endpoints()

    pages, token = list[list[str]](), None
    while token != "":
        answer = await endpoint.answer(visitor, Fields({"page_token": token}))
        pages.append([each["name"] for each in answer["experiments"]])
        token = answer.get("next_page_token", "")

    assert pages == [["c"], ["b"], ["a"]]
