"""Text moves into segments in the bucket, while a run goes on and when it has ended, and no reader notices."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import zstandard

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server.config import Config, MaintenanceConfig
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import log_stream
from tests.conftest import Backend, serve
from tests.log_files import PATH, end_run, holds, logs_sealed, read_log, read_parts, write_log
from tests.make_runs import make_run

SEAL_BYTES = 100_000


@pytest.fixture
def config(config: Config) -> Config:
    """Settings of servers that seal at once."""
    maintenance = MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0, log_seal_bytes=SEAL_BYTES)
    return replace(config, maintenance=maintenance)


def text_of(rng: random.Random, size: int) -> bytes:
    """Lines of all kinds."""
    lines = [
        b"",
        b"\r 50%|#####     |",
        b"\x1b[31mred\x1b[0m",
        bytes(range(256)).replace(b"\n", b""),
        b"plain text " * 9,
    ]
    text = bytearray()
    while len(text) < size:
        text += rng.choice(lines) + b"\n" * rng.choice([1, 1, 1, 0, 3])
    return bytes(text[:size])


def cut(rng: random.Random, text: bytes, most: int) -> list[bytes]:
    """The text in pieces."""
    pieces, at = [], 0
    while at < len(text):
        size = rng.randint(1, most)
        pieces.append(text[at : at + size])
        at += size
    return pieces


async def objects(bucket: Bucket) -> list[str]:
    return [each.key async for each in bucket.list("logs/")]


async def some_sealed(postgres: Postgres, at_least: int) -> None:
    """Waits until so much text is sealed."""
    await holds(postgres, f"sum(sealed_bytes) >= {at_least} FROM logs.file")


@pytest.mark.parametrize("seed", range(2))
async def test_any_range_is_read_the_same_before_between_and_after_sealing(
    backend: Backend, postgres: Postgres, bucket: Bucket, run: str, seed: int
) -> None:
    rng = random.Random(seed)
    text = text_of(rng, 900_000)
    await write_log(backend, run, *cut(rng, text[:450_000], 60_000))
    await some_sealed(postgres, SEAL_BYTES)
    await write_log(backend, run, *cut(rng, text[450_000:], 60_000), finish=True)
    await check_reads(backend, run, rng, text)
    await end_run(backend, run)
    await logs_sealed(postgres)

    await check_reads(backend, run, rng, text)
    assert len(await objects(bucket)) >= 2
    assert await postgres.fetchval("SELECT hot FROM logs.file") is False


async def check_reads(backend: Backend, run: str, rng: random.Random, text: bytes) -> None:
    """Reads all of a log, and parts of it by each kind of range."""
    assert await read_log(backend, run) == text
    lines = split_lines(text)
    for _ in range(6):
        start = rng.randrange(len(text))
        end = rng.randint(start + 1, len(text))
        parts = await read_parts(backend, run, start_offset=start, end_offset=end)
        assert b"".join(part.data for part in parts) == text[start:end]
        assert parts[0].line == 1 + text.count(b"\n", 0, start)
        first = rng.randint(1, len(lines))
        last = rng.randint(first, len(lines) + 2)
        parts = await read_parts(backend, run, lines=messages.LineRange(first=first, last=last))
        assert b"".join(part.data for part in parts) == b"".join(lines[first - 1 : last])
        assert parts[0].line == first
        count = rng.randint(1, len(lines) + 2)
        assert await read_log(backend, run, last_lines=count) == b"".join(lines[-count:])


def split_lines(text: bytes) -> list[bytes]:
    """Lines with their line feeds; what follows the last one is a line too."""
    lines = [line + b"\n" for line in text.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


async def test_text_that_comes_after_sealing_is_sealed_again(
    backend: Backend, postgres: Postgres, bucket: Bucket, run: str
) -> None:
    await write_log(backend, run, b"one\n", finish=True)
    await end_run(backend, run)
    await logs_sealed(postgres)
    await write_log(backend, run, b"two\n")
    assert await read_log(backend, run) == b"one\ntwo\n"
    await logs_sealed(postgres)

    assert await read_log(backend, run) == b"one\ntwo\n"
    assert await read_log(backend, run, last_lines=1) == b"two\n"
    assert len(await objects(bucket)) == 2


async def test_an_object_is_the_text_to_any_decompressor(
    backend: Backend, postgres: Postgres, bucket: Bucket, run: str
) -> None:
    text = b"".join(b"line %d\n" % number for number in range(100_000))
    await write_log(backend, run, text[:700_000], text[700_000:], finish=True)
    await end_run(backend, run)
    await logs_sealed(postgres)

    read = b""
    for key in sorted(await objects(bucket), key=lambda key: int(key.split("/")[-1].removesuffix(".zst"))):
        decompressor = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
        read += decompressor.decompress(await bucket.get(key))
    assert read == text


async def test_times_are_told_before_and_after_sealing(backend: Backend, postgres: Postgres, run: str) -> None:
    async with log_stream(backend.channel, run) as stream:
        offset = await stream.opened()
        for number in range(5):
            chunk = messages.LogChunk(offset=offset, data=b"%d\n" % number)
            chunk.time.FromMicroseconds(1_700_000_000_000_000 + number)
            await stream.say(messages.WriteLogRequest(chunk=chunk))
            offset += 2
            await stream.acknowledged(offset)
        await stream.finish()
        await stream.half_close()

    async def times() -> list[tuple[int, int, int]]:
        parts = await read_parts(backend, run, start_offset=3, end_offset=8, with_times=True)
        marks = [mark for part in parts for mark in part.times]
        return [(m.end_offset, m.write_time.ToMicroseconds(), m.receive_time.ToMicroseconds()) for m in marks]

    before = await times()
    await end_run(backend, run)
    await logs_sealed(postgres)

    assert [mark[:2] for mark in before] == [
        (4, 1_700_000_000_000_001),
        (6, 1_700_000_000_000_002),
        (8, 1_700_000_000_000_003),
    ]
    assert await times() == before
    assert [part.times[:] for part in await read_parts(backend, run)] == [[]]


async def test_a_tail_crosses_the_border_without_gap_or_repetition(
    backend: Backend, replica: Backend, postgres: Postgres, run: str
) -> None:
    rng = random.Random(4)
    text = text_of(rng, 600_000)
    read = bytearray()

    async def follow() -> int:
        cursor = ""
        servers = [backend, replica]
        while True:
            servers.reverse()
            request = messages.TailLogRequest(run=run, path=PATH, cursor=cursor)
            call = stubs.logs(servers[0].channel).TailLog(request)
            left = rng.randint(1, 4)
            async for message in call:
                assert message.offset == len(read)
                read.extend(message.data)
                cursor, left = message.cursor, left - 1
                if message.ended:
                    return message.ended
                if not left:
                    call.cancel()
                    break

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow())
        for piece in cut(rng, text, 60_000):
            await write_log(backend, run, piece)
        await some_sealed(postgres, SEAL_BYTES)
        await write_log(backend, run, b"end", finish=True)

    assert bytes(read) == text + b"end"
    assert following.result() == messages.TAIL_END_FINISHED


async def test_two_servers_that_seal_at_once_seal_each_byte_once(
    backend: Backend, replica: Backend, postgres: Postgres
) -> None:
    runs = [await make_run(backend.channel, f"run-{number}") for number in range(6)]
    texts = [text_of(random.Random(number), 150_000) for number in range(6)]
    for run, text in zip(runs, texts, strict=True):
        await write_log(backend, run, text[:70_000], text[70_000:])
        await end_run(backend, run)
    await logs_sealed(postgres)

    for run, text in zip(runs, texts, strict=True):
        assert await read_log(replica, run) == text
    assert await postgres.fetchval("SELECT sum(size_bytes) FROM logs.segment WHERE state = 'current'") == 6 * 150_000


@pytest.fixture
async def replica(config: Config) -> AsyncIterator[Backend]:
    """All services once more."""
    async with serve(config) as served:
        yield served
