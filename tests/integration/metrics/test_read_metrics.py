"""ListSeries and ReadSeries, and the summaries that the run history gets."""

import math
from typing import Any

import grpc
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream.api.runs.v1 import run_pb2
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import doubles, failure_of, failure_of_stream, metrics_stream
from tests.conftest import Backend
from tests.make_runs import make_run


async def write(backend: Backend, run: str, *batches: list[messages.SeriesColumns], writer: str = "writer") -> None:
    async with metrics_stream(backend.channel, run, writer) as stream:
        for sequence, batch in enumerate(batches, await stream.opened() + 1):
            await stream.send(sequence, *batch)
        await stream.acknowledged(len(batches))


async def read(backend: Backend, runs: list[str], **options: Any) -> list[messages.ReadSeriesResponse]:
    request = messages.ReadSeriesRequest(runs=runs, **options)
    return [response async for response in stubs.metrics(backend.channel).ReadSeries(request)]


def places(responses: list[messages.ReadSeriesResponse]) -> list[tuple[str, str, int, list[float]]]:
    return [
        (each.run.split("/")[-1], each.columns.metric, each.start_index, list(each.columns.doubles.values))
        for each in responses
    ]


async def test_series_come_in_order_of_run_and_of_name_by_code_point(backend: Backend) -> None:
    b, a = [await make_run(backend.channel, run_id) for run_id in ("run-b", "run-a")]
    for run in (b, a):
        await write(backend, run, [doubles(metric, [1.0]) for metric in ("z", "Z", "é", "a b", "loss", "loss ")])

    metrics = ["Z", "a b", "loss", "loss ", "z", "é"]
    assert [place[:2] for place in places(await read(backend, [b, a, b]))] == [
        (run, metric) for run in ("run-a", "run-b") for metric in metrics
    ]


async def test_only_the_asked_metrics_come_and_unknown_ones_are_left_out(backend: Backend, run: str) -> None:
    await write(backend, run, [doubles("a", [1.0]), doubles("b", [2.0]), doubles("c", [3.0])])

    assert places(await read(backend, [run], metrics=["c", "x", "a"])) == [
        ("run", "a", 0, [1.0]),
        ("run", "c", 0, [3.0]),
    ]
    assert await read(backend, [run + "-unknown"]) == []


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 0, range(10)),
        (3, 0, range(3, 10)),
        (0, 4, range(4)),
        (3, 7, range(3, 7)),
        (7, 3, []),
        (9, 99, [9]),
        (10, 0, []),
    ],
)
async def test_a_range_of_indexes_comes_whatever_the_chunks(
    backend: Backend, run: str, start: int, end: int, expected: range
) -> None:
    await write(backend, run, *([doubles("m", [n, n + 1])] for n in range(0, 10, 2)))

    responses = await read(backend, [run], start_index=start, end_index=end)

    assert [value for each in responses for value in each.columns.doubles.values] == list(expected)
    assert [each.start_index for each in responses] == ([start] if expected else [])


async def test_a_long_series_comes_in_order_in_messages_of_bounded_size(backend: Backend, run: str) -> None:
    count = 30_000
    batches = [[doubles("m", range(start, start + count))] for start in range(0, 10 * count, count)]
    await write(backend, run, [doubles("before", [1.0])], *batches, [doubles("n", [1.0])])

    responses = await read(backend, [run])

    values = [value for each in responses if each.columns.metric == "m" for value in each.columns.doubles.values]
    assert values == list(range(10 * count))
    assert max(each.ByteSize() for each in responses) < 300_000
    assert [step for each in responses if each.columns.metric == "m" for step in each.columns.steps] == values


async def test_thousands_of_short_series_come_in_order(backend: Backend, run: str) -> None:
    names = [f"m{n:05}" for n in range(2_500)]
    await write(backend, run, [doubles(name, [1.0]) for name in names])

    assert [each.columns.metric for each in await read(backend, [run])] == names


async def test_listing_pages_through_all_series_with_what_is_known_of_them(backend: Backend, run: str) -> None:
    await write(
        backend,
        run,
        [doubles("a", [2.0, math.nan, 1.0, 3.0]), doubles("b", [math.nan])],
        [
            messages.SeriesColumns(
                metric="c", times=[1], strings=messages.StringValues(values=["x"]), description="text"
            )
        ],
        [messages.SeriesColumns(metric="d", nulls=messages.NullValues())],
    )
    stub = stubs.metrics(backend.channel)
    listed: list[messages.Series] = []
    token = ""
    while token or not listed:
        page = await stub.ListSeries(messages.ListSeriesRequest(parent=run, page_size=3, page_token=token))
        listed, token = [*listed, *page.series], page.next_page_token

    assert listed[0] == messages.Series(
        metric="a", count=4, last=3.0, min=1.0, max=3.0, kind=messages.SERIES_KIND_VALUES
    )
    assert (listed[1].metric, listed[1].count, listed[1].HasField("min")) == ("b", 1, False)
    assert math.isnan(listed[1].last)
    texts = messages.Series(metric="c", count=1, description="text", kind=messages.SERIES_KIND_VALUES)
    assert listed[2:] == [texts, messages.Series(metric="d")]


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("ListSeries", messages.ListSeriesRequest(parent="runs/x"), "INVALID_FIELD"),
        (
            "ListSeries",
            messages.ListSeriesRequest(parent="workspaces/space/runs/run", page_size=10_001),
            "INVALID_FIELD",
        ),
        (
            "ListSeries",
            messages.ListSeriesRequest(parent="workspaces/space/runs/run", page_token="x"),
            "INVALID_PAGE_TOKEN",
        ),
        ("ReadSeries", messages.ReadSeriesRequest(), "INVALID_FIELD"),
        ("ReadSeries", messages.ReadSeriesRequest(runs=["workspaces/space/runs/run"] * 1_001), "INVALID_FIELD"),
        (
            "ReadSeries",
            messages.ReadSeriesRequest(runs=["workspaces/a01/runs/r", "workspaces/a02/runs/r"]),
            "INVALID_FIELD",
        ),
        ("ReadSeries", messages.ReadSeriesRequest(runs=["workspaces/space/runs/run"], start_index=-1), "INVALID_FIELD"),
        (
            "ReadSeries",
            messages.ReadSeriesRequest(runs=["workspaces/space/runs/run"], metrics=["a\0"]),
            "INVALID_FIELD",
        ),
        (
            "ReadSeries",
            messages.ReadSeriesRequest(runs=["workspaces/space/runs/run"], metrics=["a"] * 10_001),
            "INVALID_FIELD",
        ),
    ],
)
async def test_a_wrong_request_is_refused(backend: Backend, method: str, request_: Any, reason: str) -> None:
    call = getattr(stubs.metrics(backend.channel), method)(request_)
    failure = await failure_of(call)

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_damaged_bytes_are_told_and_never_returned(backend: Backend, postgres: Postgres, run: str) -> None:
    await write(backend, run, [doubles("m", [1.0, 2.0])])
    await postgres.execute("UPDATE metrics.chunk SET columns = set_byte(columns, 20, get_byte(columns, 20) # 1)")

    reading = stubs.metrics(backend.channel).ReadSeries(messages.ReadSeriesRequest(runs=[run]))
    failure = await failure_of_stream(reading)

    assert failure.code is grpc.StatusCode.DATA_LOSS


async def test_missing_chunks_are_told(backend: Backend, postgres: Postgres, run: str) -> None:
    await write(backend, run, [doubles("m", [1.0])], [doubles("m", [2.0])])
    await postgres.execute("DELETE FROM metrics.chunk WHERE start_index = 1")

    reading = stubs.metrics(backend.channel).ReadSeries(messages.ReadSeriesRequest(runs=[run]))
    failure = await failure_of_stream(reading)

    assert failure.code is grpc.StatusCode.DATA_LOSS


async def summaries(backend: Backend, run: str) -> dict[str, run_pb2.MetricSummary]:
    request = history.GetRunRequest(name=run, view=run_pb2.RUN_VIEW_FULL)
    response = await stubs.run_history(backend.channel).GetRun(request)
    return {summary.metric: summary for summary in response.run.metric_summaries}


async def emptied(postgres: Postgres) -> None:
    """Waits until every changed summary was told."""
    while await postgres.fetchval("SELECT count(*) FROM metrics.summary_outbox"):
        pass


async def test_the_run_history_is_told_what_became_of_the_metrics(
    backend: Backend, replica: Backend, postgres: Postgres, run: str
) -> None:
    await write(backend, run, [doubles("loss", [3.0, math.nan]), doubles("step", [1.0])], writer="one")
    await write(replica, run, [doubles("loss", [1.0, 2.0])], writer="two")
    await emptied(postgres)

    told = await summaries(backend, run)
    assert (told["loss"].last, told["loss"].min, told["loss"].max, told["loss"].count) == (2.0, 1.0, 3.0, 4)
    assert told["step"].count == 1


async def test_the_run_history_is_told_of_each_of_very_many_metrics(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    other = await make_run(backend.channel, "other")
    names = [f"m{number:04}" for number in range(700)]
    await write(backend, run, [doubles(name, [float(place)]) for place, name in enumerate(names)])
    await write(backend, other, [doubles(name, [-float(place)]) for place, name in enumerate(names[:100])])
    await emptied(postgres)

    told, told_of_other = await summaries(backend, run), await summaries(backend, other)
    assert {name: summary.last for name, summary in told.items()} == {name: place for place, name in enumerate(names)}
    assert [told_of_other[name].last for name in names[:100]] == [-float(place) for place in range(100)]
