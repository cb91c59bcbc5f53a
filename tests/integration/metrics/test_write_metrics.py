"""WriteMetrics, on a port, into Postgres."""

import asyncio
import math

import grpc
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import Failure, doubles, metrics_stream
from tests.conftest import Backend


async def read(backend: Backend, *runs: str, **options: object) -> dict[str, list[object]]:
    """The values of each metric, in order."""
    values: dict[str, list[object]] = {}
    request = messages.ReadSeriesRequest(runs=runs, **options)  # type: ignore[arg-type]
    async for response in stubs.metrics(backend.channel).ReadSeries(request):
        columns = response.columns
        of_metric = values.setdefault(columns.metric, [])
        assert response.start_index == len(of_metric) + options.get("start_index", 0)  # type: ignore[operator]
        match columns.WhichOneof("values"):
            case "nulls":
                of_metric.extend([None] * columns.nulls.count)
            case str(field):
                of_metric.extend(getattr(columns, field).values)
    return values


async def test_what_is_acknowledged_can_be_read(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        assert await stream.opened() == 0
        await stream.send(1, doubles("loss", [3.0, 2.0]), doubles("accuracy", [0.5]))
        await stream.send(2, doubles("loss", [1.0]))
        await stream.acknowledged(2)

        assert await read(backend, run) == {"accuracy": [0.5], "loss": [3.0, 2.0, 1.0]}


async def test_values_keep_their_types_their_order_and_every_bit(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(
            1,
            doubles("m", [math.nan, -0.0, math.inf]),
            messages.SeriesColumns(metric="m", times=[4], int64s=messages.Int64Values(values=[-(2**63)])),
            messages.SeriesColumns(metric="m", times=[5, 6], strings=messages.StringValues(values=["a\0b", "日本"])),
        )
        await stream.send(2, messages.SeriesColumns(metric="m", times=[7], bools=messages.BoolValues(values=[True])))
        await stream.send(3, messages.SeriesColumns(metric="m", times=[8, 9], nulls=messages.NullValues(count=2)))
        await stream.send(4, messages.SeriesColumns(metric="empty", nulls=messages.NullValues()))
        await stream.acknowledged(4)

    values = (await read(backend, run))["m"]
    assert repr(values) == repr([math.nan, -0.0, math.inf, -(2**63), "a\0b", "日本", True, None, None])
    assert (await read(backend, run))["empty"] == []


async def test_a_value_without_a_step_has_its_index_as_step(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("m", [1.0, 2.0]), doubles("m", [3.0], steps=[-7]), doubles("m", [4.0]))
        await stream.send(2, doubles("m", [5.0]))
        await stream.acknowledged(2)

    responses = [
        response async for response in stubs.metrics(backend.channel).ReadSeries(messages.ReadSeriesRequest(runs=[run]))
    ]
    assert [step for response in responses for step in response.columns.steps] == [0, 1, -7, 3, 4]
    assert [time for response in responses for time in response.columns.times] == [1, 2, 1, 1, 1]


async def test_a_batch_sent_again_is_stored_once(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        for _ in range(3):
            await stream.send(1, doubles("m", [1.0]))
        await stream.send(2, doubles("m", [2.0]))
        await stream.send(1, doubles("m", [1.0]))
        await stream.acknowledged(2)
        assert await stream.half_close() is grpc.StatusCode.OK

    assert await read(backend, run) == {"m": [1.0, 2.0]}


async def test_a_writer_that_comes_back_to_another_replica_replays_without_doubling(
    backend: Backend, replica: Backend, run: str
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        for sequence in range(1, 6):
            await stream.send(sequence, doubles("m", [sequence]))
        await stream.acknowledged(5)

    async with metrics_stream(replica.channel, run, durable=2) as stream:
        assert await stream.opened() == 5
        for sequence in range(1, 9):
            await stream.send(sequence, doubles("m", [sequence]))
        await stream.acknowledged(8)

    assert await read(backend, run) == {"m": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]}


@pytest.mark.parametrize("sequence", [4, 0, -1, 2**63 - 1, -(2**63)])
async def test_a_gap_is_refused_with_what_is_expected_and_nothing_of_it_is_stored(
    backend: Backend, run: str, sequence: int
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("m", [1.0]))
        await stream.send(2, doubles("m", [2.0]))
        await stream.send(sequence, doubles("m", [9.0]))
        failure = await stream.end()

        assert failure == Failure(grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_GAP", {"expected": "3"})
        assert stream.durable == 2
    assert await read(backend, run) == {"m": [1.0, 2.0]}


async def test_a_newer_stream_fences_the_older_one_of_the_same_process(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as older:
        await older.opened()
        async with metrics_stream(backend.channel, run) as newer:
            await newer.opened()
            failure = await older.end()

    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "WRITER_FENCED")


async def test_a_newer_stream_fences_the_older_one_of_another_replica(
    backend: Backend, replica: Backend, run: str
) -> None:
    async with metrics_stream(backend.channel, run) as older:
        await older.send(1, doubles("m", [1.0]))
        await older.acknowledged(1)
        async with metrics_stream(replica.channel, run) as newer:
            assert await newer.opened() == 1
            await older.send(2, doubles("m", [-2.0]))
            failure = await older.end()
            await newer.send(2, doubles("m", [2.0]))
            await newer.acknowledged(2)

    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "WRITER_FENCED")
    assert await read(backend, run) == {"m": [1.0, 2.0]}


async def test_writers_of_one_run_do_not_disturb_each_other(backend: Backend, replica: Backend, run: str) -> None:
    async def write(served: Backend, writer: str) -> None:
        async with metrics_stream(served.channel, run, writer) as stream:
            for sequence in range(1, 21):
                await stream.send(sequence, doubles("shared", [sequence]), doubles(writer, [sequence]))
            await stream.acknowledged(20)

    await asyncio.gather(*(write(served, f"w{n}") for n, served in enumerate([backend, replica] * 4)))

    values = await read(backend, run)
    assert sorted(map(float, values.pop("shared"))) == sorted(n for n in range(1, 21) for _ in range(8))  # type: ignore[arg-type]
    assert values == {f"w{n}": [float(each) for each in range(1, 21)] for n in range(8)}


async def test_a_bad_series_is_refused_by_itself_and_reported_once(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("good", [1.0]), doubles("", [2.0, 3.0]), doubles("also good", [4.0]))
        await stream.send(2, doubles("good", [5.0]))
        await stream.acknowledged(2)

        assert [(each.sequence, each.metric, each.reason, each.count) for each in stream.refusals] == [
            (1, "", "INVALID_NAME", 2)
        ]
    assert await read(backend, run) == {"good": [1.0, 5.0], "also good": [4.0]}


async def test_a_series_that_only_the_database_refuses_is_refused_by_itself(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    await postgres.execute("ALTER TABLE metrics.series ADD CHECK (metric <> 'poison')")
    async with (
        metrics_stream(backend.channel, run, "poisoned") as poisoned,
        metrics_stream(backend.channel, run, "other") as other,
    ):
        await asyncio.gather(
            poisoned.send(1, doubles("a", [1.0]), doubles("poison", [2.0, 3.0]), doubles("z", [4.0])),
            other.send(1, doubles("b", [5.0])),
        )
        await poisoned.send(2, doubles("a", [6.0]))
        await asyncio.gather(poisoned.acknowledged(2), other.acknowledged(1))

        assert [(each.metric, each.reason, each.count) for each in poisoned.refusals] == [("poison", "UNSTORABLE", 2)]
        assert other.refusals == []
    assert await read(backend, run) == {"a": [1.0, 6.0], "b": [5.0], "z": [4.0]}


async def test_a_run_that_does_not_exist_takes_no_metrics(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run + "x") as stream:
        failure = await stream.end()

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


async def test_a_run_that_has_ended_takes_metrics(backend: Backend, run: str) -> None:
    await stubs.run_history(backend.channel).CompleteRun(history.CompleteRunRequest(name=run))
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("late", [1.0]))
        await stream.acknowledged(1)

    assert await read(backend, run) == {"late": [1.0]}


async def test_a_request_to_cancel_is_noticed_on_an_open_stream_and_on_a_new_one(
    backend: Backend, replica: Backend, run: str
) -> None:
    cancel_requested = messages.METRICS_NOTICE_KIND_CANCEL_REQUESTED
    async with metrics_stream(backend.channel, run, "open") as stream:
        await stream.opened()
        assert stream.notices == []
        await stubs.run_history(replica.channel).CancelRun(history.CancelRunRequest(name=run))
        await stream.noticed(cancel_requested)

    async with metrics_stream(backend.channel, run, "new") as stream:
        await stream.noticed(cancel_requested)


@pytest.mark.parametrize(
    ("durable", "digest", "reason"),
    [(2, b"two", ""), (2, b"", ""), (1, b"one", ""), (2, b"other", "WRITER_DIVERGED"), (3, b"", "WRITER_DIVERGED")],
)
async def test_a_rewritten_spool_is_noticed(
    backend: Backend, run: str, durable: int, digest: bytes, reason: str
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("m", [1.0]), digest=b"one")
        await stream.send(2, doubles("m", [2.0]), digest=b"two")
        await stream.acknowledged(2)

    async with metrics_stream(backend.channel, run, durable=durable, digest=digest) as stream:
        if reason:
            failure = await stream.end()
            assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
        else:
            assert await stream.opened() == 2


async def test_a_client_that_diverged_does_not_fence_the_one_that_did_not(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("m", [1.0]), digest=b"one")
        await stream.acknowledged(1)
        async with metrics_stream(backend.channel, run, durable=1, digest=b"other") as other:
            assert (await other.end()).reason == "WRITER_DIVERGED"
        await stream.send(2, doubles("m", [2.0]))
        await stream.acknowledged(2)


@pytest.mark.parametrize(
    "messages_sent",
    [
        [messages.WriteMetricsRequest(batch=messages.MetricBatch(sequence=1))],
        [messages.WriteMetricsRequest()],
        [messages.WriteMetricsRequest(open=messages.OpenMetrics(run="workspaces/space/runs/run", writer="w"))] * 2,
        [
            messages.WriteMetricsRequest(open=messages.OpenMetrics(run="workspaces/space/runs/run", writer="w")),
            messages.WriteMetricsRequest(finish=messages.FinishMetrics()),
            messages.WriteMetricsRequest(batch=messages.MetricBatch(sequence=1)),
        ],
    ],
)
async def test_a_message_that_has_no_place_ends_the_stream(
    backend: Backend, run: str, messages_sent: list[messages.WriteMetricsRequest]
) -> None:
    async with metrics_stream(backend.channel, run, "unused") as unused:
        await unused.opened()
    call = stubs.metrics(backend.channel).WriteMetrics(iter(messages_sent))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        [_ async for _ in call]  # type: ignore[attr-defined]

    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_batch_that_is_too_large_is_refused_and_what_came_before_is_kept(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("m", [1.0]))
        await stream.send(2, doubles("m", [2.0] * 80_000))
        failure = await stream.end()

        assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert stream.durable == 1


async def test_a_writer_that_finishes_ends_well(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("m", [1.0]))
        await stream.finish()
        assert await stream.half_close() is grpc.StatusCode.OK
        assert stream.durable == 1


async def test_the_end_of_the_request_stream_commits_what_arrived(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        for sequence in range(1, 51):
            await stream.send(sequence, doubles("m", [sequence]))
        assert await stream.half_close() is grpc.StatusCode.OK
        assert stream.durable == 50


async def test_a_client_that_goes_away_leaves_the_server_as_it_was(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.opened()
        await stream.send(1, doubles("m", [1.0]))

    async with metrics_stream(backend.channel, run) as stream:
        durable = await stream.opened()
        await stream.send(durable + 1, doubles("m", [2.0]))
        await stream.acknowledged(durable + 1)
