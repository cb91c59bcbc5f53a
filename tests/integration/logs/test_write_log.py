"""WriteLog and ReadLog, on a port, into Postgres."""

import hashlib
from collections.abc import Sequence

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import Failure, LogClient, failure_of, failure_of_stream, log_stream
from tests.conftest import Backend

PATH = "user_logs/std_log.txt"


async def write(backend: Backend, run: str, *pieces: bytes, path: str = PATH) -> None:
    async with log_stream(backend.channel, run, path) as stream:
        offset = await stream.opened()
        for piece in pieces:
            await stream.send(offset, piece)
            offset += len(piece)
        await stream.acknowledged(offset)


async def read(backend: Backend, run: str, path: str = PATH, start: int = 0, end: int = 0) -> bytes:
    request = messages.ReadLogRequest(run=run, path=path, start_offset=start, end_offset=end)
    return b"".join([part.data async for part in stubs.logs(backend.channel).ReadLog(request)])


async def test_what_is_acknowledged_can_be_read_byte_for_byte(backend: Backend, run: str) -> None:
    pieces = [b"one\n", b"\r\x1b[31m 50%|", b"\xff\xfe\x00not text", bytes(range(256)) * 4_000, b"x" * 1024 * 1024]
    await write(backend, run, *pieces)

    assert await read(backend, run) == b"".join(pieces)


async def test_bytes_sent_again_are_stored_once(backend: Backend, run: str) -> None:
    async with log_stream(backend.channel, run) as stream:
        await stream.send(0, b"abc")
        await stream.send(0, b"abc")
        await stream.send(1, b"bcdef")
        await stream.send(2, b"c")
        await stream.acknowledged(6)
        assert await stream.half_close() is grpc.StatusCode.OK

    assert await read(backend, run) == b"abcdef"


async def test_a_writer_that_comes_back_to_another_replica_goes_on_without_doubling(
    backend: Backend, replica: Backend, run: str
) -> None:
    text = b"".join(b"line %d\n" % n for n in range(1_000))
    await write(backend, run, text[:3_000])

    async with log_stream(replica.channel, run, durable=1_000) as stream:
        assert await stream.opened() == 3_000
        await stream.send(0, text[:5_000])
        await stream.send(5_000, text[5_000:])
        await stream.acknowledged(len(text))

    assert await read(backend, run) == text


@pytest.mark.parametrize("offset", [4, -1, 2**63 - 1])
async def test_a_gap_is_refused_with_the_offset_that_is_expected(backend: Backend, run: str, offset: int) -> None:
    async with log_stream(backend.channel, run) as stream:
        await stream.send(0, b"abc")
        await stream.send(offset, b"x")
        failure = await stream.end()

        assert failure == Failure(grpc.StatusCode.FAILED_PRECONDITION, "OFFSET_GAP", {"expected": "3"})
        assert stream.durable == 3
    assert await read(backend, run) == b"abc"


async def test_a_newer_stream_fences_the_older_one(backend: Backend, replica: Backend, run: str) -> None:
    async with log_stream(backend.channel, run) as older:
        await older.opened()
        async with log_stream(replica.channel, run) as newer:
            await newer.opened()
            await older.send(0, b"old")
            assert (await older.end()).reason == "WRITER_FENCED"
            async with log_stream(replica.channel, run) as newest:
                await newest.opened()
                assert (await newer.end()).reason == "WRITER_FENCED"

    assert await read(backend, run) == b""


async def test_a_file_belongs_to_the_first_writer_that_opens_it(backend: Backend, run: str) -> None:
    async with log_stream(backend.channel, run) as stream:
        await stream.opened()
        async with log_stream(backend.channel, run, writer="other") as other:
            failure = await other.end()
        await stream.send(0, b"mine")
        await stream.acknowledged(4)

    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRITER_MISMATCH")


@pytest.mark.parametrize(
    ("durable", "digested", "reason"),
    [
        (10_000, range(5_904, 10_000), ""),
        (9_000, range(4_904, 9_000), ""),
        (100, range(100), ""),
        (0, range(0), ""),
        (10_000, range(5_903, 10_000), "WRITER_DIVERGED"),
        (9_000, range(4_000, 8_096), "WRITER_DIVERGED"),
        (10_001, None, "WRITER_DIVERGED"),
    ],
)
async def test_a_rewritten_file_is_noticed(
    backend: Backend, run: str, durable: int, digested: Sequence[int] | None, reason: str
) -> None:
    text = b"".join(b"%9d\n" % n for n in range(1_000))
    await write(backend, run, text[:5_000], text[5_000:])
    digest = hashlib.sha256(text[digested.start : digested.stop]).digest() if isinstance(digested, range) else b""

    async with log_stream(backend.channel, run, durable=durable, digest=digest) as stream:
        if reason:
            assert (await stream.end()).reason == reason
        else:
            assert await stream.opened() == 10_000


async def test_a_writer_that_believes_in_bytes_of_a_file_that_is_not_there_does_not_make_it(
    backend: Backend, run: str
) -> None:
    async with log_stream(backend.channel, run, durable=5) as stream:
        assert (await stream.end()).reason == "WRITER_DIVERGED"

    assert not (await stubs.logs(backend.channel).ListLogs(messages.ListLogsRequest(parent=run))).logs


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 0, "0123456789"),
        (3, 0, "3456789"),
        (-3, 0, "789"),
        (-99, 2, "01"),
        (2, 5, "234"),
        (5, 2, ""),
        (9, 99, "9"),
        (10, 0, ""),
    ],
)
async def test_a_range_of_bytes_comes_whatever_the_chunks(
    backend: Backend, run: str, start: int, end: int, expected: str
) -> None:
    await write(backend, run, b"01", b"234", b"56789")

    assert await read(backend, run, start=start, end=end) == expected.encode()


async def test_a_run_lists_its_logs_in_order_of_path(backend: Backend, run: str) -> None:
    for path in ("user_logs/b.txt", "user_logs/a.txt", "Z.txt", "logs/c.txt"):
        await write(backend, run, b"abc", path=path)
    async with log_stream(backend.channel, run, "user_logs/empty.txt") as stream:
        await stream.finish()
        assert await stream.half_close() is grpc.StatusCode.OK

    listed: list[messages.LogFile] = []
    token = ""
    while token or not listed:
        request = messages.ListLogsRequest(parent=run, page_size=2, page_token=token)
        page = await stubs.logs(backend.channel).ListLogs(request)
        listed, token = [*listed, *page.logs], page.next_page_token

    assert [file.path for file in listed] == [
        "Z.txt",
        "logs/c.txt",
        "user_logs/a.txt",
        "user_logs/b.txt",
        "user_logs/empty.txt",
    ]
    assert [(file.size_bytes, file.finished) for file in listed] == [(3, False)] * 4 + [(0, True)]
    assert listed[0].create_time == listed[0].update_time != Timestamp()
    assert not listed[4].HasField("create_time")


@pytest.mark.parametrize(
    ("alias", "path"),
    [
        ("azureml-logs/70_driver_log.txt", "user_logs/std_log.txt"),
        ("azureml-logs/70_driver_log_3.txt", "user_logs/std_log_process_03.txt"),
    ],
)
async def test_the_older_name_of_a_log_reads_the_newer_one(backend: Backend, run: str, alias: str, path: str) -> None:
    await write(backend, run, b"text", path=path)

    assert await read(backend, run, alias) == b"text"


async def test_a_log_that_is_not_there_is_told(backend: Backend, run: str) -> None:
    failure = await failure_of_stream(
        stubs.logs(backend.channel).ReadLog(messages.ReadLogRequest(run=run, path="no.txt"))
    )

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "LOG_NOT_FOUND")


async def test_a_run_that_does_not_exist_takes_no_text(backend: Backend, run: str) -> None:
    async with log_stream(backend.channel, run + "x") as stream:
        failure = await stream.end()

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


async def test_a_run_that_has_ended_takes_text(backend: Backend, run: str) -> None:
    await stubs.run_history(backend.channel).CompleteRun(history.CompleteRunRequest(name=run))
    await write(backend, run, b"late")

    assert await read(backend, run) == b"late"


async def test_a_request_to_cancel_is_noticed(backend: Backend, run: str) -> None:
    async with log_stream(backend.channel, run) as stream:
        await stream.opened()
        await stubs.run_history(backend.channel).CancelRun(history.CancelRunRequest(name=run))
        await stream.noticed(messages.LOG_NOTICE_KIND_CANCEL_REQUESTED)


async def test_damaged_bytes_are_told_and_never_returned(backend: Backend, postgres: Postgres, run: str) -> None:
    await write(backend, run, b"some text")
    await postgres.execute("UPDATE logs.chunk SET content = set_byte(content, 12, get_byte(content, 12) # 1)")

    failure = await failure_of_stream(stubs.logs(backend.channel).ReadLog(messages.ReadLogRequest(run=run, path=PATH)))

    assert failure.code is grpc.StatusCode.DATA_LOSS


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a/../b", "a\nb", "x" * 1_025])
async def test_an_unsafe_path_is_refused(backend: Backend, run: str, path: str) -> None:
    async with log_stream(backend.channel, run, path) as stream:
        failure = await stream.end()
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")

    failure = await failure_of_stream(stubs.logs(backend.channel).ReadLog(messages.ReadLogRequest(run=run, path=path)))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT


async def chunk_without_bytes(stream: LogClient) -> None:
    await stream.send(0, b"")


async def chunk_too_large(stream: LogClient) -> None:
    await stream.send(0, b"x" * (1024 * 1024 + 1))


async def chunk_without_time(stream: LogClient) -> None:
    time = Timestamp(seconds=2**62)
    await stream.say(messages.WriteLogRequest(chunk=messages.LogChunk(offset=0, data=b"x", time=time)))


@pytest.mark.parametrize("send", [chunk_without_bytes, chunk_too_large, chunk_without_time])
async def test_a_wrong_chunk_is_refused(backend: Backend, run: str, send: object) -> None:
    async with log_stream(backend.channel, run) as stream:
        await stream.opened()
        await send(stream)  # type: ignore[operator]
        failure = await stream.end()

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_a_wrong_listing_is_refused(backend: Backend) -> None:
    request = messages.ListLogsRequest(parent="workspaces/space/runs/run", page_size=1_001)

    assert (await failure_of(stubs.logs(backend.channel).ListLogs(request))).reason == "INVALID_FIELD"
