"""CompareSeries: many runs on one axis, thinned, with their spikes."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import doubles, failure_of_stream, metrics_stream
from tests.conftest import Backend
from tests.make_runs import make_run

COUNT = 300_000
BATCH = 30_000
START = 1_700_000_000_000_000


def curve() -> NDArray[np.float64]:
    """Noise, two spikes, and what is no number."""
    values = np.random.default_rng(5).normal(size=COUNT)
    values[123_456], values[234_567] = 1_000, -1_000
    values[::1_000] = np.nan
    return values


async def write(backend: Backend, run: str, *batches: list[messages.SeriesColumns]) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.opened()
        for sequence, batch in enumerate(batches, 1):
            await stream.send(sequence, *batch)
        await stream.acknowledged(len(batches))


async def write_curve(backend: Backend, run: str) -> NDArray[np.float64]:
    """A long series, a point every 10 microseconds, each second step."""
    values = curve()
    batches = [
        [
            messages.SeriesColumns(
                metric="loss",
                steps=range(2 * start, 2 * (start + BATCH), 2),
                times=range(START + 10 * start, START + 10 * (start + BATCH), 10),
                doubles=messages.DoubleValues(values=values[start : start + BATCH].tolist()),
            )
        ]
        for start in range(0, COUNT, BATCH)
    ]
    await write(backend, run, *batches)
    return values


async def compare(backend: Backend, runs: list[str], **options: Any) -> list[messages.CompareSeriesResponse]:
    request = messages.CompareSeriesRequest(runs=runs, **{"metrics": ["loss"], **options})
    return [response async for response in stubs.metrics(backend.channel).CompareSeries(request)]


async def test_a_long_series_is_thinned_and_keeps_its_spikes(backend: Backend, run: str) -> None:
    values = await write_curve(backend, run)

    for max_points in (2, 100, 1_000, 10_000):
        (thinned,) = await compare(backend, [run], max_points=max_points)

        places = np.asarray(thinned.places)
        assert len(thinned.values) == len(places) <= max_points
        assert len(places) > max_points * 0.9
        assert (thinned.count, thinned.thinned) == (int(np.count_nonzero(~np.isnan(values))), True)
        assert np.all(np.diff(places) > 0)
        assert np.array_equal(values[places // 2], np.asarray(thinned.values))
        assert {1_000, -1_000} <= set(thinned.values)


async def test_zooming_in_shows_more_until_every_value_is_there(backend: Backend, run: str) -> None:
    values = await write_curve(backend, run)

    for low, high in [(1_001, 500_003), (246_000, 247_800), (246_911, 246_913)]:
        (thinned,) = await compare(backend, [run], min=low, max=high)
        within = np.arange((low + 1) // 2, high // 2 + 1)
        within = within[~np.isnan(values[within])]
        assert thinned.count == len(within)
        assert {1_000} <= set(thinned.values)
        assert thinned.thinned == (len(within) > 1_000)
        if not thinned.thinned:
            assert list(thinned.places) == (within * 2).tolist()
            assert np.array_equal(np.asarray(thinned.values), values[within])


async def test_a_zoom_decodes_only_the_chunks_at_its_borders(backend: Backend, postgres: Postgres, run: str) -> None:
    values = await write_curve(backend, run)
    await postgres.execute("UPDATE metrics.chunk SET columns = '' WHERE start_index BETWEEN 40000 AND 200000")

    (thinned,) = await compare(backend, [run], min=20_001, max=560_003, max_points=100)

    assert thinned.count == np.count_nonzero(~np.isnan(values[10_001:280_002]))
    assert {1_000, -1_000} <= set(thinned.values)


async def test_series_are_aligned_by_step_by_time_or_by_the_time_since_their_run_began(
    backend: Backend, run: str
) -> None:
    other = await make_run(backend.channel, "other")
    await write(
        backend,
        run,
        [
            messages.SeriesColumns(metric="first", times=[START - 5], strings=messages.StringValues(values=["text"])),
            messages.SeriesColumns(
                metric="loss",
                steps=[7, 3, 3],
                times=[START, START + 9, START + 4],
                int64s=messages.Int64Values(values=[1, 2, 3]),
            ),
        ],
    )
    await write(
        backend,
        other,
        [messages.SeriesColumns(metric="loss", times=[START + 50], doubles=messages.DoubleValues(values=[4.0]))],
    )

    async def places(axis: int, **options: int) -> list[tuple[str, list[int], list[float]]]:
        responses = await compare(backend, [other, run, other], axis=axis, **options)
        return [(each.run, list(each.places), list(each.values)) for each in responses]

    by_step = [(other, [0], [4.0]), (run, [3, 3, 7], [2.0, 3.0, 1.0])]
    assert await places(messages.SERIES_AXIS_UNSPECIFIED) == by_step
    assert await places(messages.SERIES_AXIS_STEP) == by_step
    assert await places(messages.SERIES_AXIS_TIME) == [
        (other, [START + 50], [4.0]),
        (run, [START, START + 4, START + 9], [1.0, 3.0, 2.0]),
    ]
    assert await places(messages.SERIES_AXIS_RELATIVE_TIME) == [
        (other, [0], [4.0]),
        (run, [5, 9, 14], [1.0, 3.0, 2.0]),
    ]
    assert await places(messages.SERIES_AXIS_RELATIVE_TIME, min=6, max=9) == [(run, [9], [3.0])]
    assert await places(messages.SERIES_AXIS_RELATIVE_TIME, min=2**63 - 1) == []


async def test_series_come_in_the_order_of_the_request_and_only_those_with_numbers(backend: Backend, run: str) -> None:
    other = await make_run(backend.channel, "other")
    for each in (run, other):
        text = messages.SeriesColumns(metric="text", times=[1], strings=messages.StringValues(values=["x"]))
        await write(
            backend, each, [doubles("b", [1.0, 2.0]), doubles("a", [3.0]), doubles("nan", [float("nan")]), text]
        )

    responses = await compare(backend, [run, other], metrics=["b", "a", "nan", "text", "not there", "b"])

    assert [(each.run, each.metric, each.count, each.thinned) for each in responses] == [
        (each, metric, count, False) for each in (run, other) for metric, count in (("b", 2), ("a", 1))
    ]


async def test_many_short_series_of_many_small_chunks_are_compared(backend: Backend) -> None:
    runs = [await make_run(backend.channel, f"run-{n}") for n in range(5)]
    metrics = [f"m{n}" for n in range(40)]
    for run in runs:
        await write(backend, run, *([doubles(metric, [float(n), n + 0.5]) for metric in metrics] for n in range(8)))

    responses = await compare(backend, runs, metrics=metrics, max_points=6)

    assert [(each.run, each.metric) for each in responses] == [(run, metric) for run in runs for metric in metrics]
    assert {(each.count, len(each.values), each.values[0], each.values[-1]) for each in responses} == {(16, 6, 0, 7.5)}


@pytest.mark.parametrize(
    "options",
    [
        {"runs": []},
        {"runs": [f"workspaces/space/runs/{n}" for n in range(101)]},
        {"metrics": []},
        {"metrics": [f"m{n}" for n in range(101)]},
        {"max_points": 1},
        {"max_points": 10_001},
        {"axis": 9},
        {"runs": ["workspaces/space/runs/a", "workspaces/other/runs/a"]},
    ],
)
async def test_a_request_beyond_its_limits_is_refused(backend: Backend, options: dict[str, Any]) -> None:
    request = messages.CompareSeriesRequest(**{"runs": ["workspaces/space/runs/a"], "metrics": ["m"], **options})
    call = stubs.metrics(backend.channel).CompareSeries(request)
    assert (await failure_of_stream(call)).reason == "INVALID_FIELD"
