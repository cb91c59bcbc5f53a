"""ReadSeries of the ends of series."""

from typing import Any

import grpc
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from tests import stubs
from tests.append_clients import doubles
from tests.conftest import Backend


async def read(backend: Backend, run: str, **fields: Any) -> dict[str, tuple[int, list[float]]]:
    """Of each metric the index of the first value that is read, and the values."""
    found: dict[str, tuple[int, list[float]]] = {}
    request = messages.ReadSeriesRequest(runs=[run], **fields)
    async for response in stubs.metrics(backend.channel).ReadSeries(request):
        _, values = found.setdefault(response.columns.metric, (response.start_index, []))
        values.extend(response.columns.doubles.values)
    return found


async def test_series_are_read_from_where_somebody_stopped_or_from_near_their_ends(backend: Backend, run: str) -> None:
    series = [doubles(name, list(map(float, range(count)))) for name, count in (("a", 5), ("b", 3), ("c", 1))]
    batch = messages.MetricBatch(sequence=1, series=series)
    request = messages.LogMetricsRequest(run=run, writer="w", batch=batch)
    await stubs.metrics(backend.channel).LogMetrics(request)

    assert await read(backend, run, metrics=["b", "a", "c"], start_indexes=[2, 4, 1]) == {
        "a": (4, [4.0]),
        "b": (2, [2.0]),
    }
    assert await read(backend, run, last_count=2) == {"a": (3, [3.0, 4.0]), "b": (1, [1.0, 2.0]), "c": (0, [0.0])}
    assert await read(backend, run, metrics=["a"], start_indexes=[1], last_count=2) == {"a": (3, [3.0, 4.0])}
    assert await read(backend, run, metrics=["a"], last_count=3, end_index=4) == {"a": (2, [2.0, 3.0])}


@pytest.mark.parametrize(
    "fields",
    [
        {"last_count": -1},
        {"start_indexes": [1]},
        {"metrics": ["a"], "start_indexes": [-1]},
        {"metrics": ["a"], "start_indexes": [1, 2]},
        {"metrics": ["a", "a"], "start_indexes": [1, 2]},
    ],
)
async def test_places_to_begin_at_are_one_for_each_metric(backend: Backend, run: str, fields: dict[str, Any]) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="INVALID_ARGUMENT"):
        await read(backend, run, **fields)
