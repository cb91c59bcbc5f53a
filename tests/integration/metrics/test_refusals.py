"""GetRefusals: what is not stored is counted with what is, whatever becomes of its acknowledgement."""

import asyncio

import grpc
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from tests import stubs
from tests.append_clients import doubles, failure_of, metrics_stream
from tests.conftest import Backend

ROWS = messages.SeriesColumns(metric="m", times=[1, 2], table=messages.TableValues(row_count=2))


async def refusals(backend: Backend, run: str) -> dict[str, tuple[int, dict[str, int]]]:
    """By reason how many values were refused, and by metric."""
    answer = await stubs.metrics(backend.channel).GetRefusals(messages.GetRefusalsRequest(run=run))
    return {each.reason: (each.count, {one.metric: one.count for one in each.metrics}) for each in answer.refusals}


async def send(backend: Backend, run: str, *series: messages.SeriesColumns, writer: str = "writer") -> None:
    """Sends the first batch of a writer, and waits for its acknowledgement."""
    async with metrics_stream(backend.channel, run, writer) as stream:
        await stream.send(1, *series)
        await stream.acknowledged(1)


async def test_what_is_refused_before_and_by_the_database_is_counted_by_reason_and_metric(
    backend: Backend, run: str
) -> None:
    await send(backend, run, doubles("m", [1.0]), ROWS, doubles("", [1.0, 2.0, 3.0]), doubles("a\0b", [1.0]))

    assert await refusals(backend, run) == {
        "INVALID_NAME": (4, {"": 3, "a\N{REPLACEMENT CHARACTER}b": 1}),
        "MIXED_KINDS": (2, {"m": 2}),
    }


async def test_a_run_of_which_nothing_was_refused_has_no_refusals(backend: Backend, run: str) -> None:
    await send(backend, run, doubles("m", [1.0]))

    assert await refusals(backend, run) == {}
    assert await refusals(backend, f"{run}-that-is-not-there") == {}


async def test_a_batch_that_is_sent_again_is_counted_once(backend: Backend, replica: Backend, run: str) -> None:
    batch = messages.MetricBatch(sequence=1, series=[doubles("m", [1.0]), ROWS, doubles("", [1.0])])
    for served in (backend, replica, backend):
        await stubs.metrics(served.channel).LogMetrics(
            messages.LogMetricsRequest(run=run, writer="writer", batch=batch)
        )

    assert await refusals(backend, run) == {"INVALID_NAME": (1, {"": 1}), "MIXED_KINDS": (2, {"m": 2})}


async def test_writers_on_two_replicas_count_together(backend: Backend, replica: Backend, run: str) -> None:
    await asyncio.gather(
        *(
            send((backend, replica)[number % 2], run, doubles("", [1.0] * number), writer=f"w{number}")
            for number in range(1, 21)
        )
    )

    assert await refusals(backend, run) == {"INVALID_NAME": (210, {"": 210})}


async def test_a_hundred_metrics_of_a_reason_are_named_and_all_values_counted(backend: Backend, run: str) -> None:
    await send(backend, run, *(doubles(f"{number:03}\0", [1.0]) for number in range(60)))
    await send(backend, run, *(doubles(f"{number:03}\0", [1.0]) for number in range(110)), writer="other")

    count, metrics = (await refusals(backend, run))["INVALID_NAME"]
    assert count == 170
    assert metrics == {f"{number:03}\N{REPLACEMENT CHARACTER}": 2 if number < 60 else 1 for number in range(100)}


async def test_the_message_says_what_to_do(backend: Backend, run: str) -> None:
    await send(backend, run, doubles("m", [1.0]), ROWS)

    answer = await stubs.metrics(backend.channel).GetRefusals(messages.GetRefusalsRequest(run=run))
    assert "log rows under another name" in answer.refusals[0].message


async def test_a_name_that_is_none_is_refused(backend: Backend) -> None:
    call = stubs.metrics(backend.channel).GetRefusals(messages.GetRefusalsRequest(run="runs/run"))
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    assert (await failure_of(call)).reason == "INVALID_FIELD"
