"""Metrics of requests whose fate nobody knows."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream.api.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from runstream_server.gateway.mlflow.metrics.writers import MetricWriters
from runstream_server.gateway.mlflow.runs.labels import LoggedMetric
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Services, Visitor
from runstream_server.names import RunName, WorkspaceName

RUN = RunName("space", "run")
CODES = {
    "refuse": grpc.StatusCode.FAILED_PRECONDITION,
    "not found": grpc.StatusCode.NOT_FOUND,
    "defect": grpc.StatusCode.INTERNAL,
}


class LateMetrics(MetricsServiceServicer):
    """Stores batches, some of them only after it has given up on them, or while nobody waits any more."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, int, float]] = []
        self.held = asyncio.Event()
        self.fates: list[str] = []
        self.requests: list[messages.ReadSeriesRequest] = []
        self._positions: dict[str, int] = {}

    async def ReadSeries(
        self, request: messages.ReadSeriesRequest, context: Any
    ) -> AsyncIterator[messages.ReadSeriesResponse]:
        assert list(request.metrics) == ["m"]
        self.requests.append(request)
        first = max(len(self.stored) - request.last_count, *request.start_indexes, 0) if request.last_count else 0
        for index, (metric, step, value) in list(enumerate(self.stored))[first:]:
            if not request.HasField("min_step") or request.min_step <= step <= request.max_step:
                doubles = messages.DoubleValues(values=[value])
                columns = messages.SeriesColumns(metric=metric, steps=[step], times=[step * 1_000], doubles=doubles)
                yield messages.ReadSeriesResponse(run=request.runs[0], start_index=index, columns=columns)

    async def LogMetrics(self, request: messages.LogMetricsRequest, context: Any) -> messages.LogMetricsResponse:
        fate = self.fates.pop(0) if self.fates else "store"
        if fate in CODES:
            await context.abort(CODES[fate], fate)
        if fate != "lose":
            self._store(request)
        if fate == "hold":
            self.held.set()
            await asyncio.Event().wait()
        if fate != "store":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "who knows?")
        return messages.LogMetricsResponse(durable_sequence=request.batch.sequence)

    def _store(self, request: messages.LogMetricsRequest) -> None:
        if request.batch.sequence == self._positions.get(request.writer, 0) + 1:
            self._positions[request.writer] = request.batch.sequence
            for series in request.batch.series:
                values = zip(series.steps, series.doubles.values, strict=True)
                self.stored.extend((series.metric, step, value) for step, value in values)


@pytest.fixture
async def service() -> AsyncIterator[tuple[LateMetrics, Visitor]]:
    """The service, and somebody who calls it."""
    late = LateMetrics()  # type: ignore[abstract]
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_MetricsServiceServicer_to_server(late, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield late, Visitor(WorkspaceName("space"), Services(channel), None)
    await server.stop(None)


def point(step: int) -> LoggedMetric:
    return LoggedMetric("m", float(step), step, step, "", "", "")


@pytest.mark.parametrize("fate", ["lose", "lose after storing"])
async def test_a_batch_whose_fate_is_unknown_is_stored_once_when_it_comes_again(
    service: tuple[LateMetrics, Visitor], fate: str
) -> None:
    late, visitor = service
    writers = MetricWriters()
    late.fates = ["store", fate]
    await writers.write(visitor, RUN, [point(0)])
    with pytest.raises(Refusal, match="who knows"):
        await writers.write(visitor, RUN, [point(1)])

    assert await writers.write(visitor, RUN, [point(1)]) is False
    assert await writers.write(visitor, RUN, [point(2)]) is True
    assert late.stored == [("m", 0, 0.0), ("m", 1, 1.0), ("m", 2, 2.0)]


async def test_a_batch_of_a_client_that_hung_up_is_stored_once(service: tuple[LateMetrics, Visitor]) -> None:
    late, visitor = service
    writers = MetricWriters()
    late.fates = ["hold"]
    writing = asyncio.create_task(writers.write(visitor, RUN, [point(0)]))
    await late.held.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    await writers.write(visitor, RUN, [point(1), point(0)])
    assert late.stored == [("m", 0, 0.0), ("m", 1, 1.0)]


async def test_only_what_came_since_the_last_look_is_read(service: tuple[LateMetrics, Visitor]) -> None:
    late, visitor = service
    writers = MetricWriters()
    for step in range(3):
        await writers.write(visitor, RUN, [point(step)])
    late.stored.append(("m", 9, 9.0))

    assert await writers.write(visitor, RUN, [point(9), point(1)]) is False
    assert [list(request.start_indexes) for request in late.requests] == [[], [0], [1], [2]]


async def test_what_is_far_back_in_a_series_is_found_by_its_time(service: tuple[LateMetrics, Visitor]) -> None:
    late, visitor = service
    late.stored = [("m", step, float(step)) for step in range(5_100)]
    writers = MetricWriters()
    old, middle, new = point(50), point(5_050), point(6_000)

    assert await writers.write(visitor, RUN, [old, middle]) is False
    assert await writers.write(visitor, RUN, [middle, old, new]) is True
    assert late.stored[5_100:] == [("m", 6_000, 6_000.0)]
    assert [request.HasField("min_step") for request in late.requests] == [False, True, False, True]


async def test_after_a_refusal_it_goes_on_as_another_writer(service: tuple[LateMetrics, Visitor]) -> None:
    late, visitor = service
    writers = MetricWriters()
    late.fates = ["store", "refuse"]
    await writers.write(visitor, RUN, [point(0)])
    with pytest.raises(Refusal, match="refuse"):
        await writers.write(visitor, RUN, [point(1)])

    assert await writers.write(visitor, RUN, [point(2)]) is True
    assert late.stored == [("m", 0, 0.0), ("m", 2, 2.0)]


async def test_who_does_not_reach_a_run_settles_nothing_about_it(service: tuple[LateMetrics, Visitor]) -> None:
    late, visitor = service
    writers = MetricWriters()
    late.fates = ["lose", "not found"]
    for told, step in (("who knows", 0), ("not found", 1)):
        with pytest.raises(Refusal, match=told):
            await writers.write(visitor, RUN, [point(step)])

    assert await writers.write(visitor, RUN, [point(0)]) is False
    assert late.stored == [("m", 0, 0.0)]


async def test_a_batch_that_is_a_defect_again_is_in_the_way_no_more(service: tuple[LateMetrics, Visitor]) -> None:
    late, visitor = service
    writers = MetricWriters()
    late.fates = ["defect", "defect"]
    for step in range(2):
        with pytest.raises(Refusal, match="defect"):
            await writers.write(visitor, RUN, [point(step)])

    assert await writers.write(visitor, RUN, [point(2)]) is True
    assert late.stored == [("m", 2, 2.0)]
