"""Histories of metrics by the REST interface of MLflow: their order, their pages, and charts of many runs."""

import random
from math import inf, isnan, nan
from typing import Any

import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from tests import stubs
from tests.conftest import Backend
from tests.gateways import Gateway
from tests.mlflow_runs import MISSING, invalid, metric, read_history, start_run

INVALID = (400, "INVALID_PARAMETER_VALUE")

Point = tuple[int, int, float]
"""Milliseconds, step and value."""


async def store(backend: Backend, run_id: str, points: list[Point]) -> None:
    """Stores points as another client may: in any order, some of them equal."""
    for sequence, first in enumerate(range(0, len(points), 40_000), start=1):
        timestamps, steps, values = zip(*points[first : first + 40_000], strict=True)
        times = [timestamp * 1_000 for timestamp in timestamps]
        columns = metrics.SeriesColumns(
            metric="m", times=times, steps=steps, doubles=metrics.DoubleValues(values=values)
        )
        batch = metrics.MetricBatch(sequence=sequence, series=[columns])
        request = metrics.LogMetricsRequest(run=f"workspaces/space/runs/{run_id}", writer="w", batch=batch)
        await stubs.metrics(backend.channel).LogMetrics(request)


def place(point: Point) -> tuple[int, int, bool, float]:
    timestamp, step, value = point
    return timestamp, step, isnan(value), 0.0 if isnan(value) else value


async def pages(gateway: Gateway, run_id: str, size: int) -> list[Point]:
    found: list[Any] = []
    token: dict[str, str] = {}
    while True:
        page = await read_history(gateway, run_id, "m", max_results=size, **token)
        assert len(page["metrics"]) <= size
        found += page["metrics"]
        if "next_page_token" not in page:
            return [(each["timestamp"], each["step"], float(each["value"])) for each in found]
        token = {"page_token": page["next_page_token"]}


def scene(name: str) -> list[Point]:
    """Points as they were stored."""
    source = random.Random(name)
    if name == "in order":
        return [(number // 3, number % 3, float(number)) for number in range(200)]
    if name == "backwards":
        return [(200 - number, number, 0.0) for number in range(200)]
    if name == "all equal":
        return [(7, 0, nan)] * 60
    if name == "a late one first":
        return [(10_000, 0, 1.0), *((number // 9, 0, 1.0) for number in range(150))]
    values = [0.0, -0.0, 1.5, nan, inf, -inf]
    return [(source.randrange(4), source.randrange(3), source.choice(values)) for _ in range(250)]


@pytest.mark.parametrize("name", ["in order", "backwards", "all equal", "a late one first", "ties"])
async def test_pages_give_each_point_once_in_order_of_time_step_and_value(
    gateway: Gateway, backend: Backend, name: str
) -> None:
    run_id, stored = await start_run(gateway), scene(name)
    await store(backend, run_id, stored)

    for size in (7, 50, 1_000):
        told = await pages(gateway, run_id, size)
        assert [place(point) for point in told] == sorted(map(place, stored)), size
    few = await start_run(gateway)
    await store(backend, few, stored[:20])
    assert [place(point) for point in await pages(gateway, few, 1)] == sorted(map(place, stored[:20]))


async def test_the_greatest_and_the_least_times_are_paged_through(gateway: Gateway, backend: Backend) -> None:
    run_id, times = await start_run(gateway), [-(2**63 // 1_000), 2**63 // 1_000]
    await store(backend, run_id, [(timestamp, step, 1.0) for timestamp in times for step in (2, 1)])

    assert await pages(gateway, run_id, 1) == [(timestamp, step, 1.0) for timestamp in times for step in (1, 2)]


async def test_a_long_series_out_of_order_is_paged_through(gateway: Gateway, backend: Backend) -> None:
    run_id = await start_run(gateway)
    stored = [(number ^ 1, number, float(number)) for number in range(60_000)]
    stored = stored[55_000:] + stored[:55_000]
    await store(backend, run_id, stored)

    assert await pages(gateway, run_id, 25_000) == sorted(stored)
    assert len((await read_history(gateway, run_id, "m", max_results=10**9))["metrics"]) == 25_000
    assert len((await read_history(gateway, run_id, "m"))["metrics"]) == 25_000


async def test_numbers_that_json_does_not_have_are_texts_and_other_kinds_of_values_are_left_out(
    gateway: Gateway, backend: Backend
) -> None:
    run_id = await start_run(gateway)
    series = [
        metrics.SeriesColumns(
            metric="m", steps=[0, 1], times=[1_000_999, 2], int64s=metrics.Int64Values(values=[3, 4])
        ),
        metrics.SeriesColumns(metric="m", steps=[2], times=[3], strings=metrics.StringValues(values=["text"])),
        metrics.SeriesColumns(metric="m", steps=[3], times=[4_000], bools=metrics.BoolValues(values=[True])),
    ]
    batch = metrics.MetricBatch(sequence=1, series=series)
    request = metrics.LogMetricsRequest(run=f"workspaces/space/runs/{run_id}", writer="w", batch=batch)
    await stubs.metrics(backend.channel).LogMetrics(request)
    for value in ("NaN", "Infinity", "-Infinity"):
        await gateway.post("runs/log-metric", run_id=run_id, **metric("n", value, timestamp=-5))

    assert [each["value"] for each in (await read_history(gateway, run_id, "n"))["metrics"]] == [
        "-Infinity",
        "Infinity",
        "NaN",
    ]
    found = (await read_history(gateway, run_id, "m"))["metrics"]
    assert [(each["timestamp"], each["step"], each["value"]) for each in found] == [
        (0, 1, 4.0),
        (4, 3, 1.0),
        (1_000, 0, 3.0),
    ]


async def test_a_page_token_is_good_for_its_metric_of_its_run_only(gateway: Gateway, backend: Backend) -> None:
    one, other = await start_run(gateway), await start_run(gateway)
    for run_id in (one, other):
        await store(backend, run_id, scene("in order"))
    token = (await read_history(gateway, one, "m", max_results=5))["next_page_token"]
    for run_id, key, shown in ((other, "m", token), (one, "n", token), (one, "m", token[:-1]), (one, "m", "x y")):
        answer = await gateway.get("metrics/get-history", run_id=run_id, metric_key=key, page_token=shown)
        assert answer.error[:2] == INVALID

    assert (await read_history(gateway, one, "nothing")) == {"metrics": []}


async def test_charts_show_the_same_steps_of_all_runs_and_the_ends_of_each(gateway: Gateway) -> None:
    first, second = sorted([await start_run(gateway), await start_run(gateway)])
    for run_id, steps in ((first, range(10)), (second, range(3, 8))):
        batch = [metric("m", step * 2, step=step, timestamp=100 - step) for step in steps]
        await gateway.post("runs/log-batch", run_id=run_id, metrics=batch)

    async def chart(*runs: str, count: int, **interval: int) -> list[tuple[str, int]]:
        query = {"run_ids": list(runs), "metric_key": "m", "max_results": count, **interval}
        found = (await gateway.get("metrics/get-history-bulk-interval", **query)).found()["metrics"]
        assert all(each["key"] == "m" and each["value"] == 2 * each["step"] for each in found)
        return [(each["run_id"], each["step"]) for each in found]

    assert await chart(first, count=5) == [(first, step) for step in (0, 2, 4, 6, 8, 9)]
    assert await chart(second, first, count=2) == [
        *((first, step) for step in (0, 3, 5, 7, 9)),
        *((second, step) for step in (3, 5, 7)),
    ]
    assert await chart(first, count=2_500) == [(first, step) for step in range(10)]
    assert await chart(first, count=5, start_step=2, end_step=4) == [(first, step) for step in (2, 3, 4)]
    assert await chart(first, "unknown", count=1, start_step=20, end_step=30) == []


async def test_a_chart_of_a_run_that_logged_one_step_again_and_again_is_bounded(
    gateway: Gateway, backend: Backend
) -> None:
    run_id = await start_run(gateway)
    await store(backend, run_id, [(number, 0, float(number)) for number in range(210_000)])
    query = {"run_ids": [run_id], "metric_key": "m", "max_results": 5}
    found = (await gateway.get("metrics/get-history-bulk-interval", **query)).found()["metrics"]

    assert len(found) == 2_700
    assert (found[0]["value"], found[-1]["value"]) == (0.0, 209_999.0)


async def test_histories_of_many_runs_come_together(gateway: Gateway) -> None:
    runs = sorted([await start_run(gateway) for _ in range(3)])
    for run_id in runs:
        await gateway.post("runs/log-batch", run_id=run_id, metrics=[metric("m", 1, step=step) for step in (1, 0)])
    path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    query = [("run_id", run_id) for run_id in runs] + [("metric_key", "m"), ("max_results", "5")]
    answer = await gateway.request("GET", path, params=query)

    told = [(each["run_id"], each["step"]) for each in answer.found()["metrics"]]
    assert told == [(runs[0], 0), (runs[0], 1), (runs[1], 0), (runs[1], 1), (runs[2], 0)]


ONE = {"run_id": "r", "metric_key": "m"}
CHART = {"run_ids": "r", "metric_key": "m", "max_results": 1}
MANY = [str(number) for number in range(101)]
TOO_MANY = (*INVALID, "A request is about up to 100 runs; got 101.")


WRONG: list[tuple[str, dict[str, Any], tuple[int, str, str]]] = [
    ("", {"metric_key": "m"}, (*INVALID, MISSING.format("run_id"))),
    ("", {"run_id": "r"}, (*INVALID, MISSING.format("metric_key"))),
    ("", ONE, (404, "RESOURCE_DOES_NOT_EXIST", "Run with id=r not found")),
    ("", {**ONE, "max_results": 0}, invalid("max_results", '"0"', "expected 1 or more")),
    ("-bulk", {"metric_key": "m"}, (*INVALID, MISSING.format("run_id"))),
    ("-bulk", {**ONE, "run_id": MANY}, TOO_MANY),
    ("-bulk-interval", {**CHART, "run_ids": []}, (*INVALID, MISSING.format("run_ids"))),
    ("-bulk-interval", {**CHART, "max_results": []}, (*INVALID, MISSING.format("max_results"))),
    ("-bulk-interval", {**CHART, "max_results": 2_501}, invalid("max_results", '"2501"', "expected 1 to 2500")),
    ("-bulk-interval", {**CHART, "max_results": 0}, invalid("max_results", '"0"', "expected 1 to 2500")),
    ("-bulk-interval", {**CHART, "run_ids": MANY}, TOO_MANY),
    (
        "-bulk-interval",
        {**CHART, "start_step": 1},
        (*INVALID, "Send both start_step and end_step, or none of them."),
    ),
    (
        "-bulk-interval",
        {**CHART, "start_step": 3, "end_step": 2},
        invalid("end_step", '"2"', "expected start_step, which is 3, or more"),
    ),
]


async def test_wrong_requests_for_histories_are_told_so(gateway: Gateway) -> None:
    for endpoint, query, error in WRONG:
        assert (await gateway.get(f"metrics/get-history{endpoint}", **query)).error == error, query
