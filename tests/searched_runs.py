"""Makes runs to search for through the gateway, and searches them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream.api.runs.v1 import experiment_pb2, run_pb2, workspace_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as messages
from tests import stubs
from tests.gateways import Gateway

START = 1_700_000_000_000
"""When runs start, in milliseconds, plus what they say."""


@dataclass(frozen=True)
class Experiment:
    """An experiment, by both of its names."""

    name: str
    id: str


def new_run(run_id: str, start: int | None = 0, **run: Any) -> messages.CreateRunRequest:
    """A run that started so many milliseconds after `START`; None: it has not. Tags and params are dictionaries."""
    tags, params = run.pop("tags", {}), run.pop("params", {})
    request = messages.CreateRunRequest(run_id=run_id, run=run_pb2.Run(**run), start=start is not None)
    request.run.tags.extend(workspace_pb2.Tag(key=key, value=value) for key, value in tags.items())
    request.run.properties.update({f"params.{key}": value for key, value in params.items()})
    if start is not None:
        request.start_time.FromMicroseconds((START + start) * 1_000 + 999)
    return request


async def make_experiment(channel: grpc.aio.Channel, gateway: Gateway, name: str = "experiment") -> Experiment:
    """Makes an experiment."""
    parent = "workspaces/" + gateway.url.rpartition("/")[2]
    request = messages.CreateExperimentRequest(
        parent=parent, experiment=experiment_pb2.Experiment(display_name=name), return_existing=True
    )
    made = (await stubs.run_history(channel).CreateExperiment(request)).experiment
    found = (await gateway.post("experiments/search", view_type="ALL")).found()["experiments"]
    return Experiment(made.name, next(each["experiment_id"] for each in found if each["name"] == name))


async def make_runs(
    channel: grpc.aio.Channel, experiment: Experiment, requests: Iterable[messages.CreateRunRequest]
) -> None:
    """Makes runs in an experiment."""
    batch = messages.BatchCreateRunsRequest(parent=experiment.name.partition("/experiments/")[0], requests=requests)
    for request in batch.requests:
        request.run.experiment = experiment.name
    await stubs.run_history(channel).BatchCreateRuns(batch)


async def log(channel: grpc.aio.Channel, run_id: str, sequence: int = 1, **values: Sequence[tuple[int, float]]) -> None:
    """Logs steps and values of metrics."""
    series = [
        metrics.SeriesColumns(
            metric=name,
            steps=[step for step, _ in points],
            times=[1_000] * len(points),
            doubles=metrics.DoubleValues(values=[value for _, value in points]),
        )
        for name, points in values.items()
    ]
    batch = metrics.MetricBatch(sequence=sequence, series=series)
    request = metrics.LogMetricsRequest(run=f"workspaces/space/runs/{run_id}", writer="writer", batch=batch)
    await stubs.metrics(channel).LogMetrics(request)


async def search(gateway: Gateway, *experiments: Experiment, **body: Any) -> list[str]:
    """The ids of the runs that a search finds, page by page."""
    ids, found, token = [each.id for each in experiments], list[str](), ""
    while True:
        answer = (await gateway.post("runs/search", experiment_ids=ids, page_token=token, **body)).found()
        found += [run["info"]["run_id"] for run in answer.get("runs", ())]
        token = answer.get("next_page_token", "")
        if not token:
            return found


def values_of(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Metrics, params or tags of a document by their keys."""
    return {each["key"]: each["value"] for each in pairs}
