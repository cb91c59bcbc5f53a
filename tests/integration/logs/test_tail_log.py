"""TailLog: live, in order, across replicas, and it ends with a reason."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server import app
from runstream_server.config import Config
from runstream_server.logs.drain import Drain
from runstream_server.logs.model import TailBegin, TailEnd, TailMessage
from runstream_server.logs.reading import LogReader
from runstream_server.logs.sealing.reading import SegmentReader
from runstream_server.logs.sealing.segment_store import SegmentStore
from runstream_server.logs.source import LogSource
from runstream_server.logs.store import LogStore
from runstream_server.logs.tails import HINT_TOPIC, Tails
from runstream_server.logs.watching import FileWatch
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Hints, Postgres
from runstream_server.rpc import open_channel
from runstream_server.runhistory import RunHistory, run_watch
from tests import stubs
from tests.append_clients import failure_of_stream, log_stream
from tests.conftest import Backend, serve
from tests.make_runs import make_run
from tests.set_clocks import SetClock
from tests.tail_calls import TailCall

PATH = "user_logs/std_log.txt"


class Tail(TailCall):
    """A call of TailLog."""

    text = b""
    cursor = ""

    def take(self, message: messages.TailLogResponse) -> None:
        self.text += message.data
        self.cursor = message.cursor

    async def reads(self, text: bytes) -> None:
        while not self.text.endswith(text):
            await self.hear()


@asynccontextmanager
async def tail(backend: Backend, run: str, path: str = PATH, **options: Any) -> AsyncIterator[Tail]:
    call = stubs.logs(backend.channel).TailLog(messages.TailLogRequest(run=run, path=path, **options))
    try:
        yield Tail(call)
    finally:
        call.cancel()


async def test_text_is_told_as_soon_as_it_is_durable(backend: Backend, run: str) -> None:
    async with log_stream(backend.channel, run) as stream, tail(backend, run) as reader:
        await stream.send(0, b"one\n")
        await reader.reads(b"one\n")
        await stream.send(4, b"two\n")
        await reader.reads(b"one\ntwo\n")


async def test_a_log_that_is_not_there_yet_is_waited_for(backend: Backend, run: str) -> None:
    async with tail(backend, run, "azureml-logs/70_driver_log.txt") as reader:
        reading = asyncio.create_task(reader.reads(b"first"))
        async with log_stream(backend.channel, run) as stream:
            await stream.send(0, b"first")
            await reading


async def test_tails_of_two_replicas_resume_at_each_other_without_gap_or_repetition(
    backend: Backend, replica: Backend, run: str
) -> None:
    text = b"".join(b"line %d\n" % n for n in range(2_000))
    read, cursor = b"", ""

    async def write() -> None:
        async with log_stream(replica.channel, run) as stream:
            for start in range(0, len(text), 500):
                await stream.send(start, text[start : start + 500])
                await stream.acknowledged(min(start + 500, len(text)))
            await stream.finish()
            await stream.half_close()

    writing = asyncio.create_task(write())
    ended = messages.TAIL_END_UNSPECIFIED
    served = [backend, replica]
    while not ended:
        async with tail(served[0], run, cursor=cursor) as reader:
            await reader.hear()
            read, cursor, ended = read + reader.text, reader.cursor, reader.ended
        served.reverse()
    await writing

    assert read == text
    assert ended == messages.TAIL_END_FINISHED


async def test_a_tail_from_now_leaves_out_what_was_there(backend: Backend, run: str) -> None:
    async with log_stream(backend.channel, run) as stream:
        await stream.send(0, b"before\n")
        await stream.acknowledged(7)
        async with tail(backend, run, start=messages.TAIL_START_NOW) as reader:
            reading = asyncio.create_task(reader.hear())
            sent = 7
            while not reading.done():
                await stream.send(sent, b"after\n")
                sent += 6
                await stream.acknowledged(sent)
            await reading

    assert set(reader.text.splitlines()) == {b"after"}


async def test_a_tail_ends_when_the_file_is_finished(backend: Backend, run: str) -> None:
    async with log_stream(backend.channel, run) as stream, tail(backend, run) as reader:
        await stream.send(0, b"all")
        await stream.finish()
        assert await reader.ends() == messages.TAIL_END_FINISHED
        assert reader.text == b"all"
        assert await reader.call.read() is grpc.aio.EOF


async def test_a_cursor_at_the_end_of_a_finished_file_ends_at_once(backend: Backend, run: str) -> None:
    async with log_stream(backend.channel, run) as stream:
        await stream.send(0, b"all")
        await stream.finish()
        await stream.half_close()
    async with tail(backend, run) as reader:
        await reader.ends()
    async with tail(backend, run, cursor=reader.cursor) as again:
        assert await again.ends() == messages.TAIL_END_FINISHED
        assert again.text == b""


async def test_a_tail_of_another_run_or_with_another_cursor_is_refused(backend: Backend, run: str) -> None:
    async with log_stream(backend.channel, run) as stream, tail(backend, run) as reader:
        await stream.send(0, b"text")
        await reader.reads(b"text")

    for request, reason in [
        (messages.TailLogRequest(run=run + "x", path=PATH), "RUN_NOT_FOUND"),
        (messages.TailLogRequest(run=run, path="other.txt", cursor=reader.cursor), "INVALID_CURSOR"),
        (messages.TailLogRequest(run=run, path=PATH, cursor="x"), "INVALID_CURSOR"),
    ]:
        assert (await failure_of_stream(stubs.logs(backend.channel).TailLog(request))).reason == reason


async def test_a_tail_is_told_when_the_server_stops_and_goes_on_elsewhere(config: Config) -> None:
    async with app.serve(config) as server, open_channel(server.address) as channel:
        run = await make_run(channel)
        backend = Backend(server.address, channel, config)
        async with log_stream(channel, run) as stream, tail(backend, run) as reader:
            await stream.send(0, b"one")
            await reader.reads(b"one")
            server.draining.set()
            failure = await reader.fails()

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    async with (
        serve(config) as backend,
        tail(backend, run, cursor=reader.cursor) as again,
        log_stream(backend.channel, run) as stream,
    ):
        await stream.send(3, b"two")
        await again.reads(b"two")
    assert again.text == b"two"


@pytest.fixture
async def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def hints() -> Hints:
    return Hints()


@pytest.fixture
async def tails(
    backend: Backend, postgres: Postgres, bucket: Bucket, files: FileWatch, hints: Hints, clock: SetClock
) -> AsyncIterator[Tails]:
    """Tails by a clock that the test sets, on the database and the run history of `backend`."""
    store = LogStore(postgres)
    reader = LogReader(LogSource(store, SegmentReader(SegmentStore(postgres), bucket)))
    async with run_watch(RunHistory(backend.channel, backend.channel)) as watch:
        yield Tails(store, reader, files, watch, hints, Drain(asyncio.Event()), clock)


@pytest.fixture
def files(postgres: Postgres) -> FileWatch:
    """Looks at the followed files when a test says so."""
    return FileWatch(LogStore(postgres))


async def first_message(tails: Tails, run: str) -> TailMessage:
    """What a tail says first."""
    async with aclosing(tails.tail(RunName.parse(run), PATH, TailBegin())) as tail_:
        return await anext(tail_)


def waking(hints: Hints, run: str) -> Callable[[], None]:
    """Wakes the tails of a log."""
    return lambda: hints.publish(HINT_TOPIC, [f"space/{RunName.parse(run).run}/{PATH}"])


async def test_a_tail_says_now_and_then_that_nothing_happens(
    backend: Backend, tails: Tails, hints: Hints, clock: SetClock, run: str
) -> None:
    message = await clock.until(asyncio.create_task(first_message(tails, run)), waking(hints, run))

    assert (message.text.offset, message.text.data, message.ended) == (0, b"", None)


async def test_a_tail_ends_five_seconds_after_the_run_and_its_last_text(
    backend: Backend, tails: Tails, clock: SetClock, run: str
) -> None:
    async with log_stream(backend.channel, run) as stream:
        await stream.send(0, b"text")
        await stream.acknowledged(4)
    await stubs.run_history(backend.channel).CompleteRun(history.CompleteRunRequest(name=run))

    messages_ = [message async for message in tails.tail(RunName.parse(run), PATH, TailBegin())]

    assert [(message.text.data, message.ended) for message in messages_] == [(b"text", None), (b"", TailEnd.RUN_ENDED)]


async def test_a_tail_goes_on_while_text_still_comes_after_the_end_of_the_run(
    backend: Backend, tails: Tails, hints: Hints, clock: SetClock, run: str
) -> None:
    await stubs.run_history(backend.channel).CompleteRun(history.CompleteRunRequest(name=run))
    clock.now = datetime.now(UTC) + timedelta(seconds=4)
    reading = asyncio.create_task(first_message(tails, run))
    async with log_stream(backend.channel, run) as stream:
        await stream.send(0, b"late")
        await stream.acknowledged(4)
    waking(hints, run)()

    assert (await reading).text.data == b"late"
