"""What is remembered of series, and which steps are shown of them."""

import numpy as np
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.gateway.mlflow.metrics.ends import RunEnds
from runstream_server.gateway.mlflow.metrics.sampling import MOST_STEPS, chosen_steps, joined_steps
from runstream_server.gateway.mlflow.runs.labels import LoggedMetric


def response(metric: str, start: int, count: int) -> messages.ReadSeriesResponse:
    steps = range(start, start + count)
    values = messages.DoubleValues(values=[float(step) for step in steps])
    columns = messages.SeriesColumns(metric=metric, steps=steps, times=[step * 1_000 for step in steps], doubles=values)
    return messages.ReadSeriesResponse(run="r", start_index=start, columns=columns)


def point(metric: str, step: int) -> LoggedMetric:
    return LoggedMetric(metric, float(step), step, step, "", "", "")


@pytest.mark.parametrize(("metric_count", "kept"), [(1, 5_000), (4, 5_000), (40, 500), (1_000, 20)])
def test_of_many_series_each_keeps_its_last_values(metric_count: int, kept: int) -> None:
    ends = RunEnds()
    names = [f"m{number}" for number in range(metric_count)]
    for name in names:
        ends.learn(response(name, 0, kept + 50))
    ends.complete(names)

    assert len(ends) == metric_count * kept <= 20_000
    last = ends[names[-1]]
    assert [last.has(point("m", step)) for step in (49, 50, kept + 49, kept + 50)] == [False, True, True, False]
    assert [last.knows_all_about(point("m", step)) for step in (49, 50)] == [False, True]


def test_what_follows_is_asked_for_and_new_series_from_near_their_end() -> None:
    ends = RunEnds()
    ends.learn(response("a", 10, 5))
    ends.complete(["a", "none"])
    known, new = ends.requests("r", ["b", "none", "a", "c"])

    assert (list(known.metrics), list(known.start_indexes)) == (["a", "none"], [15, 0])
    assert (list(new.metrics), new.last_count) == (["b", "c"], 5_000)
    assert [ends["a"].knows_all_about(point("a", step)) for step in (10, 11)] == [False, True]
    assert ends["none"].knows_all_about(point("none", -5))


def test_series_that_nobody_logs_to_any_more_do_not_fill_the_memory() -> None:
    ends = RunEnds()
    for number in range(100):
        name = f"m{number}"
        ends.learn(response(name, 0, 5_000))
        ends.complete([name])
        ends.shrink()
        assert len(ends) <= 40_000


@pytest.mark.parametrize(
    ("steps", "ends", "count", "chosen"),
    [
        (range(10), {0, 9}, 5, [0, 2, 4, 6, 8, 9]),
        (range(10), {0, 9}, 10, list(range(10))),
        (range(10), {0, 3, 7, 9}, 1, [0, 3, 7, 9]),
        (range(7), {0, 6}, 3, [0, 2, 4, 6]),
        ([], set(), 3, []),
    ],
)
def test_chosen_steps_are_evenly_spaced_and_have_the_ends(
    steps: range, ends: set[int], count: int, chosen: list[int]
) -> None:
    assert chosen_steps(np.array(steps, np.int64), ends, count).tolist() == chosen


def test_among_very_many_steps_evenly_chosen_ones_count() -> None:
    parts = [np.arange(start, start + MOST_STEPS, dtype=np.int64) for start in (MOST_STEPS // 2, 0)]

    assert joined_steps([parts[0], parts[0][:9]]).tolist() == parts[0].tolist()
    assert joined_steps(parts).tolist() == list(range(0, MOST_STEPS * 3 // 2, 2))
