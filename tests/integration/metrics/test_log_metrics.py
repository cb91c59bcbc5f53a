"""LogMetrics: batches without a stream."""

import asyncio

import grpc
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from tests import stubs
from tests.append_clients import Failure, doubles, failure_of, metrics_stream
from tests.conftest import Backend


async def log(
    backend: Backend, run: str, sequence: int, *series: messages.SeriesColumns, writer: str = "writer"
) -> messages.LogMetricsResponse:
    batch = messages.MetricBatch(sequence=sequence, series=series)
    return await stubs.metrics(backend.channel).LogMetrics(
        messages.LogMetricsRequest(run=run, writer=writer, batch=batch)
    )


async def failure(backend: Backend, request: messages.LogMetricsRequest) -> Failure:
    call = stubs.metrics(backend.channel).LogMetrics(request)
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    return await failure_of(call)


async def values_of(backend: Backend, run: str) -> list[float]:
    request = messages.ReadSeriesRequest(runs=[run], metrics=["m"])
    responses = stubs.metrics(backend.channel).ReadSeries(request)
    return [value async for response in responses for value in response.columns.doubles.values]


async def test_a_batch_sent_again_is_stored_once_on_whichever_replica(
    backend: Backend, replica: Backend, run: str
) -> None:
    for served in (backend, replica, backend):
        assert (await log(served, run, 1, doubles("m", [1.0]))).durable_sequence == 1
    assert (await log(replica, run, 2, doubles("m", [2.0]))).durable_sequence == 2
    assert (await log(backend, run, 1, doubles("m", [1.0]))).durable_sequence == 2

    assert await values_of(backend, run) == [1.0, 2.0]


async def test_calls_that_race_with_one_batch_store_it_once(backend: Backend, replica: Backend, run: str) -> None:
    for sequence in range(1, 6):
        calls = [log(served, run, sequence, doubles("m", [sequence])) for served in (backend, replica) * 3]
        answers = await asyncio.gather(*calls)
        assert {answer.durable_sequence for answer in answers} == {sequence}

    assert await values_of(backend, run) == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_many_small_clients_share_a_series(backend: Backend, run: str) -> None:
    async def write(writer: str) -> None:
        for sequence in range(1, 6):
            await log(backend, run, sequence, doubles("m", [1.0]), writer=writer)

    await asyncio.gather(*(write(f"w{number}") for number in range(20)))

    assert await values_of(backend, run) == [1.0] * 100


async def test_what_is_refused_is_in_the_answer_and_the_rest_is_stored(backend: Backend, run: str) -> None:
    rows = messages.SeriesColumns(metric="m", times=[1], table=messages.TableValues(row_count=1))
    answer = await log(backend, run, 1, doubles("m", [1.0]), doubles("", [2.0, 3.0]), rows)

    assert [(each.sequence, each.metric, each.reason, each.count) for each in answer.refusals] == [
        (1, "", "INVALID_NAME", 2),
        (1, "m", "MIXED_KINDS", 1),
    ]
    assert await values_of(backend, run) == [1.0]


@pytest.mark.parametrize("sequence", [3, 0, -1, 2**63 - 1, -(2**63)])
async def test_a_gap_is_refused_with_what_is_expected(backend: Backend, run: str, sequence: int) -> None:
    await log(backend, run, 1, doubles("m", [1.0]))
    batch = messages.MetricBatch(sequence=sequence, series=[doubles("m", [2.0])])
    refused = await failure(backend, messages.LogMetricsRequest(run=run, writer="writer", batch=batch))

    assert refused == Failure(grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_GAP", {"expected": "2"})
    assert await values_of(backend, run) == [1.0]


async def test_it_goes_on_where_a_stream_of_the_writer_stopped_and_fences_nobody(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("m", [1.0]))
        await stream.acknowledged(1)
        assert (await log(backend, run, 1, doubles("m", [1.0]))).durable_sequence == 1
        await stream.send(2, doubles("m", [2.0]))
        await stream.acknowledged(2)
    assert (await log(backend, run, 3, doubles("m", [3.0]))).durable_sequence == 3
    async with metrics_stream(backend.channel, run) as stream:
        assert await stream.opened() == 3

    assert await values_of(backend, run) == [1.0, 2.0, 3.0]


async def test_a_call_that_breaks_its_limits_says_which(backend: Backend, run: str) -> None:
    batch = messages.MetricBatch(sequence=1, series=[doubles("m", [1.0])])
    large = messages.MetricBatch(sequence=1, series=[doubles("m", [1.0] * 80_000)])
    digest = messages.MetricBatch(sequence=1, digest=b"x" * 33)
    for request, reason in (
        (messages.LogMetricsRequest(run=run, batch=batch), "INVALID_FIELD"),
        (messages.LogMetricsRequest(run="x", writer="w", batch=batch), "INVALID_FIELD"),
        (messages.LogMetricsRequest(run=run, writer="w", batch=large), "INVALID_FIELD"),
        (messages.LogMetricsRequest(run=run, writer="w", batch=digest), "INVALID_FIELD"),
        (messages.LogMetricsRequest(run=run + "x", writer="w", batch=batch), "RUN_NOT_FOUND"),
    ):
        assert (await failure(backend, request)).reason == reason
