"""Where tails of logs start, which file an alias means, and what a tail notices without a hint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server.logs.store import LogStore
from runstream_server.logs.watching import FileWatch
from runstream_server.names import RunName
from runstream_server.postgres import Hints, Postgres
from tests import stubs
from tests.append_clients import failure_of_stream, log_stream
from tests.conftest import Backend
from tests.log_files import PATH, read_log, read_parts, write_log

ALIAS = "azureml-logs/70_driver_log.txt"
SECONDS = 20.0


@asynccontextmanager
async def tail(backend: Backend, run: str, path: str = PATH, **options: Any) -> AsyncIterator[Any]:
    call = stubs.logs(backend.channel).TailLog(messages.TailLogRequest(run=run, path=path, **options))
    try:
        yield call
    finally:
        call.cancel()


async def hear(call: Any) -> messages.TailLogResponse:
    async with asyncio.timeout(SECONDS):
        message = await call.read()
    assert isinstance(message, messages.TailLogResponse)
    return message


async def test_an_alias_keeps_to_the_file_that_was_there_first(backend: Backend, run: str) -> None:
    await write_log(backend, run, b"new\n")
    async with tail(backend, run, ALIAS) as call:
        first = await hear(call)
        await write_log(backend, run, b"old, and much longer\n", path=ALIAS, writer="older")
        await write_log(backend, run, b"more\n")
        second = await hear(call)
    async with tail(backend, run, ALIAS, cursor=first.cursor) as call:
        again = await hear(call)

    assert [(each.path, each.data) for each in (first, second, again)] == [
        (PATH, b"new\n"),
        (PATH, b"more\n"),
        (PATH, b"more\n"),
    ]


async def test_a_tail_of_the_last_lines_starts_with_them_and_goes_on(backend: Backend, run: str) -> None:
    await write_log(backend, run, b"one\ntwo\n", b"three\nfour")
    async with tail(backend, run, last_lines=2, with_times=True) as call:
        first = await hear(call)
        await write_log(backend, run, b" and more\n")
        second = await hear(call)

    assert (first.offset, first.data, second.data) == (8, b"three\nfour", b" and more\n")
    assert [mark.end_offset for mark in (*first.times, *second.times)] == [18, 28]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"start": 99}, "INVALID_FIELD"),
        ({"last_lines": -1}, "INVALID_FIELD"),
        ({"last_lines": 1, "start": messages.TAIL_START_NOW}, "INVALID_FIELD"),
        ({"path": "/x"}, "INVALID_FIELD"),
    ],
)
async def test_a_tail_that_starts_nowhere_is_refused(
    backend: Backend, run: str, options: dict[str, Any], reason: str
) -> None:
    request = messages.TailLogRequest(**{"run": run, "path": PATH, **options})
    failure = await failure_of_stream(stubs.logs(backend.channel).TailLog(request))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


@pytest.mark.parametrize(
    "options",
    [
        {"end_offset": -1},
        {"last_lines": 0},
        {"last_lines": 1, "start_offset": 1},
        {"lines": messages.LineRange(first=-1)},
        {"lines": messages.LineRange(first=3, last=2)},
        {"lines": messages.LineRange(), "end_offset": 1},
    ],
)
async def test_a_wrong_range_is_refused(backend: Backend, run: str, options: dict[str, Any]) -> None:
    request = messages.ReadLogRequest(run=run, path=PATH, **options)
    failure = await failure_of_stream(stubs.logs(backend.channel).ReadLog(request))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_lines_of_a_file_without_text_are_none(backend: Backend, run: str) -> None:
    await write_log(backend, run)

    assert await read_parts(backend, run, last_lines=5) == []
    assert await read_parts(backend, run, lines=messages.LineRange(first=2)) == []


async def test_a_writer_that_comes_back_makes_a_finished_file_go_on(backend: Backend, run: str) -> None:
    await write_log(backend, run, b"one\n", finish=True)
    async with tail(backend, run) as call:
        first, end = await hear(call), await hear(call)
    await write_log(backend, run, b"two\n")

    (file,) = (await stubs.logs(backend.channel).ListLogs(messages.ListLogsRequest(parent=run))).logs
    assert (first.data, end.ended, file.finished) == (b"one\n", messages.TAIL_END_FINISHED, False)
    async with tail(backend, run, cursor=end.cursor) as call:
        assert (await hear(call)).data == b"two\n"
    assert await read_log(backend, run) == b"one\ntwo\n"


async def test_a_reader_whose_hint_was_lost_is_woken_by_the_next_look(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    store = LogStore(postgres)
    watch, name = FileWatch(store), RunName.parse(run)
    with Hints().subscribe("nothing", []) as hints, watch.following(name, [PATH, "other.txt"], hints) as followed:
        await watch.look()
        assert not await hints.wait(0)
        await write_log(backend, run, b"text")
        await watch.look()
        assert await hints.wait(0)
        followed.saw(await store.find(name, followed.paths))
        await watch.look()
        assert not await hints.wait(0)
        async with log_stream(backend.channel, run) as stream:
            await stream.opened()
            await stream.finish()
            await stream.half_close()
        await watch.look()
        assert await hints.wait(0)
