"""TailSeries: live, in order, across replicas, without gap or repetition, and it ends with a reason."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server import app
from runstream_server.config import Config
from runstream_server.metrics.overview_store import OverviewStore
from runstream_server.metrics.queries import TailMessage, TailRequest
from runstream_server.metrics.sealing.object_store import SealedObjectStore
from runstream_server.metrics.sealing.reading import SealedReader
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.store import MetricStore
from runstream_server.metrics.tail_store import TailStore
from runstream_server.metrics.tails import HINT_TOPIC, Tails, hint_key
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Hints, Postgres
from runstream_server.rpc import open_channel
from runstream_server.runhistory import RunHistory, run_watch
from tests import stubs
from tests.append_clients import doubles, failure_of_stream, metrics_stream
from tests.conftest import Backend, serve
from tests.make_runs import make_run
from tests.set_clocks import SetClock
from tests.tail_calls import SECONDS, TailCall


class Tail(TailCall):
    """A call of TailSeries. Checks that values join on to those that came before."""

    def __init__(self, call: Any, cursor: Mapping[tuple[str, str], int]) -> None:
        super().__init__(call)
        self.values: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self.cursor = dict(cursor)

    def take(self, message: messages.TailSeriesResponse) -> None:
        if message.HasField("values"):
            self._heard(message.values)

    def _heard(self, values: messages.ReadSeriesResponse) -> None:
        place = values.run, values.columns.metric
        assert values.start_index == self.cursor.get(place, values.start_index)
        self.cursor[place] = values.start_index + len(values.columns.times)
        self.values[place] += values.columns.doubles.values

    async def has(self, run: str, metric: str, values: Sequence[float]) -> None:
        while self.values[run, metric] != values:
            await self.hear()


def positions(cursor: Mapping[tuple[str, str], int]) -> list[messages.SeriesPosition]:
    return [messages.SeriesPosition(run=run, metric=metric, next_index=n) for (run, metric), n in cursor.items()]


@asynccontextmanager
async def tail(
    backend: Backend, *runs: str, cursor: Mapping[tuple[str, str], int] | None = None, **options: Any
) -> AsyncIterator[Tail]:
    request = messages.TailSeriesRequest(runs=runs, cursor=positions(cursor or {}), **options)
    call = stubs.metrics(backend.channel).TailSeries(request)
    try:
        yield Tail(call, cursor or {})
    finally:
        call.cancel()


async def write(backend: Backend, run: str, *batches: list[messages.SeriesColumns], writer: str = "writer") -> None:
    async with metrics_stream(backend.channel, run, writer) as stream:
        begin = await stream.opened()
        for sequence, batch in enumerate(batches, begin + 1):
            await stream.send(sequence, *batch)
        await stream.acknowledged(begin + len(batches))


async def complete(backend: Backend, run: str) -> None:
    await stubs.run_history(backend.channel).CompleteRun(history.CompleteRunRequest(name=run))


async def test_values_are_told_as_soon_as_they_are_durable(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream, tail(backend, run) as reader:
        await stream.send(1, doubles("loss", [1.0, 2.0]))
        await reader.has(run, "loss", [1.0, 2.0])
        await stream.send(2, doubles("loss", [3.0]), doubles("acc", [4.0]))
        await reader.has(run, "loss", [1.0, 2.0, 3.0])
        await reader.has(run, "acc", [4.0])


async def test_only_the_asked_metrics_are_followed(backend: Backend, run: str) -> None:
    await write(backend, run, [doubles("a", [1.0]), doubles("b", [2.0]), doubles("c", [3.0])])
    async with tail(backend, run, metrics=["c", "a", "later"]) as reader:
        await reader.has(run, "c", [3.0])
        await write(backend, run, [doubles("b", [4.0]), doubles("later", [5.0])])
        await reader.has(run, "later", [5.0])

    assert {metric for _, metric in reader.values} == {"a", "c", "later"}


async def test_a_cursor_of_any_message_resumes_at_any_replica_without_gap_or_repetition(
    backend: Backend, replica: Backend, run: str
) -> None:
    other = await make_run(backend.channel, "other")
    batches = [[doubles("a", [2.0 * n, 2.0 * n + 1]), doubles("b", [1.0 * n])] for n in range(40)]

    async def write_all() -> None:
        await asyncio.gather(write(replica, run, *batches), write(backend, other, *batches))
        await complete(replica, run)
        await complete(backend, other)

    writing = asyncio.create_task(write_all())
    read: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    cursor: Mapping[tuple[str, str], int] = {}
    ended = messages.TAIL_END_UNSPECIFIED
    served = [backend, replica]
    while not ended:
        async with tail(served[0], run, other, cursor=cursor) as reader:
            await reader.hear()
            for place, values in reader.values.items():
                read[place] += values
            cursor, ended = reader.cursor, reader.ended
        served.reverse()
    await writing

    expected = {"a": [float(n) for n in range(80)], "b": [float(n) for n in range(40)]}
    assert read == {(each, metric): values for each in (run, other) for metric, values in expected.items()}
    assert ended == messages.TAIL_END_RUN_ENDED


async def test_writers_of_one_series_on_two_replicas_are_told_in_one_order(
    backend: Backend, replica: Backend, run: str
) -> None:
    batches = [[[doubles("m", [1000 * writer + n])] for n in range(100)] for writer in range(4)]
    async with tail(backend, run) as here, tail(replica, run) as there:
        await asyncio.gather(
            *(
                write(served, run, *batches[writer], writer=f"w{writer}")
                for writer, served in enumerate([backend, replica, backend, replica])
            )
        )
        for reader in (here, there):
            while len(reader.values[run, "m"]) < 400:
                await reader.hear()

    told = here.values[run, "m"]
    assert told == there.values[run, "m"]
    assert all([value for value in told if value // 1000 == w] == [1000 * w + n for n in range(100)] for w in range(4))


async def test_a_tail_from_now_says_where_it_begins_and_leaves_out_what_was_there(backend: Backend, run: str) -> None:
    await write(backend, run, [doubles("a", [1.0, 2.0, 3.0]), doubles("b", [1.0])])
    async with tail(backend, run, from_now=True, cursor={(run, "b"): 0}) as reader:
        while len(reader.cursor) < 2 or not reader.values[run, "b"]:
            await reader.hear()
        await write(backend, run, [doubles("a", [4.0]), doubles("new", [5.0])])
        await reader.has(run, "a", [4.0])
        await reader.has(run, "new", [5.0])

    assert reader.values[run, "b"] == [1.0]
    assert reader.cursor == {(run, "a"): 4, (run, "b"): 1, (run, "new"): 1}


async def test_a_series_without_values_is_told_and_grows(backend: Backend, run: str) -> None:
    await write(backend, run, [messages.SeriesColumns(metric="empty", nulls=messages.NullValues())])
    async with tail(backend, run) as reader:
        await reader.hear()
        assert reader.cursor == {(run, "empty"): 0}
        await write(backend, run, [doubles("empty", [1.0])])
        await reader.has(run, "empty", [1.0])


async def test_a_tail_of_a_run_with_thousands_of_series_and_a_long_one_has_everything(
    backend: Backend, run: str
) -> None:
    long = [[doubles("long", range(start, start + 30_000))] for start in range(0, 300_000, 30_000)]
    await write(backend, run, [doubles(f"m{n:05}", [float(n)]) for n in range(2_500)], *long)
    async with tail(backend, run) as reader:
        while len(reader.values) < 2_501:
            await reader.hear()
        await write(backend, run, [doubles("m00007", [8.0])], [doubles("m02499", [9.0])])
        await reader.has(run, "m02499", [2499.0, 9.0])

    assert reader.values[run, "long"] == list(range(300_000))
    assert reader.values[run, "m00007"] == [7.0, 8.0]


async def test_a_reader_that_is_slow_gets_everything_later(backend: Backend, run: str) -> None:
    count, size = 40, 20_000  # more than the windows of a connection hold
    async with tail(backend, run) as reader, metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("m", range(size)))
        await reader.hear()
        for sequence in range(2, count + 1):
            await stream.send(sequence, doubles("m", range(size)))
        await stream.acknowledged(count)
        await reader.has(run, "m", list(range(size)) * count)


async def test_other_runs_and_forged_cursors_are_refused(backend: Backend, run: str) -> None:
    await write(backend, run, [doubles("m", [1.0, 2.0])])
    twice = [*positions({(run, "m"): 1}), *positions({(run, "m"): 1})]
    requests: list[tuple[dict[str, Any], str]] = [
        ({"runs": [run, run + "x"]}, "RUN_NOT_FOUND"),
        ({"runs": [run], "cursor": positions({(run, "m"): 3})}, "INVALID_CURSOR"),
        ({"runs": [run], "cursor": positions({(run, "m"): -1})}, "INVALID_CURSOR"),
        ({"runs": [run], "cursor": positions({(run, "not there"): 1})}, "INVALID_CURSOR"),
        ({"runs": [run], "cursor": twice}, "INVALID_CURSOR"),
        ({"runs": [run], "cursor": positions({(run + "x", "m"): 1})}, "INVALID_FIELD"),
        ({"runs": [run], "metrics": ["n"], "cursor": positions({(run, "m"): 1})}, "INVALID_FIELD"),
        ({"runs": []}, "INVALID_FIELD"),
        ({"runs": [f"{run}{n}" for n in range(101)]}, "INVALID_FIELD"),
    ]
    for options, reason in requests:
        call = stubs.metrics(backend.channel).TailSeries(messages.TailSeriesRequest(**options))
        assert (await failure_of_stream(call)).reason == reason, options


async def test_a_tail_is_told_when_the_server_stops_and_goes_on_elsewhere(config: Config) -> None:
    async with app.serve(config) as server, open_channel(server.address) as channel:
        run = await make_run(channel)
        backend = Backend(server.address, channel, config)
        await write(backend, run, [doubles("m", [1.0])])
        async with tail(backend, run) as reader:
            await reader.has(run, "m", [1.0])
            server.draining.set()
            failure = await reader.fails()

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    async with serve(config) as backend, tail(backend, run, cursor=reader.cursor) as again:
        await write(backend, run, [doubles("m", [2.0])])
        await again.has(run, "m", [2.0])


@pytest.fixture
async def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def hints() -> Hints:
    return Hints()


@pytest.fixture
async def tails(
    backend: Backend, postgres: Postgres, bucket: Bucket, hints: Hints, clock: SetClock
) -> AsyncIterator[Tails]:
    """Tails by a clock that the test sets, on the database and the run history of `backend`, without its hints."""
    sealed = SealedReader(SealedObjectStore(postgres), bucket)
    source = ChunkSource(MetricStore(postgres), OverviewStore(postgres), sealed)
    async with run_watch(RunHistory(backend.channel, backend.channel)) as watch:
        yield Tails(TailStore(postgres), source, watch, hints, asyncio.Event(), clock)


async def next_message(tail_: AsyncIterator[TailMessage], clock: SetClock, hints: Hints, run: str) -> TailMessage:
    """What a tail says next, while the time passes second by second."""
    reading = asyncio.ensure_future(anext(tail_))
    return await clock.until(reading, lambda: hints.publish(HINT_TOPIC, [hint_key(RunName.parse(run))]))


def everything(*runs: str) -> TailRequest:
    return TailRequest([RunName.parse(run) for run in runs], (), {}, from_now=False)


async def test_a_tail_says_now_and_then_that_nothing_happens(
    tails: Tails, hints: Hints, clock: SetClock, run: str
) -> None:
    async with aclosing(tails.tail(everything(run))) as tail_:
        assert await next_message(tail_, clock, hints, run) == TailMessage(None)


async def test_what_no_hint_tells_of_is_found(backend: Backend, tails: Tails, run: str) -> None:
    async with aclosing(tails.tail(everything(run))) as tail_:
        reading = asyncio.ensure_future(anext(tail_))
        await write(backend, run, [doubles("m", [1.0])])
        async with asyncio.timeout(SECONDS):
            message = await reading
    assert message.slice is not None
    assert message.slice.segment.array.tolist() == [1.0]


async def test_a_tail_ends_when_all_its_runs_have_ended_and_tells_what_came_until_then(
    backend: Backend, tails: Tails, hints: Hints, clock: SetClock, run: str
) -> None:
    other = await make_run(backend.channel, "other")
    await complete(backend, other)
    async with aclosing(tails.tail(everything(run, other))) as tail_:
        assert not (await next_message(tail_, clock, hints, run)).ended
        await complete(backend, run)
        await write(backend, run, [doubles("m", [1.0])])
        told: list[TailMessage] = []
        while not told or not told[-1].ended:
            told.append(await next_message(tail_, clock, hints, run))

    (values,) = [message.slice for message in told if message.slice]
    assert values.segment.array.tolist() == [1.0]
    assert told[-1] == TailMessage(None, ended=True)


async def test_a_tail_of_runs_that_ended_long_ago_sends_everything_and_ends(
    backend: Backend, tails: Tails, run: str
) -> None:
    await write(backend, run, [doubles("m", [1.0]), doubles("n", [2.0])])
    await complete(backend, run)

    told = [message async for message in tails.tail(everything(run))]

    assert [(each.slice.series.metric if each.slice else "", each.ended) for each in told] == [
        ("m", False),
        ("n", False),
        ("", True),
    ]
