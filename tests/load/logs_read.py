"""Benchmarks of reading and searching logs that are sealed."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import grpc
import zstandard

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server.config import BucketConfig
from runstream_server.objectstore import Bucket, open_bucket
from runstream_server.rpc import open_channel
from tests import stubs
from tests.load.backend import Up, backend
from tests.load.figures import Figure, cost, rate
from tests.load.log_text import PATH, chunks, pool, write_log
from tests.load.server_costs import costs_of
from tests.make_runs import make_run

SETTINGS = {"RUNSTREAM_MAINTENANCE_SHARE": "1", "RUNSTREAM_SEAL_QUIET_SECONDS": "0"}
CHUNK_BYTES = 256 * 1024
WRITTEN_BYTES = 64 * 1024 * 1024
SMALL_BYTES = 10 * 1024 * 1024
LARGE_BYTES = 10 * 1024 * 1024 * 1024
SEARCHED_BYTES = 1024 * 1024 * 1024
LINES = 1_000
READS = 20
SEARCHES = 3
NEEDLE = b"CUDA error: an illegal memory access was encountered"
MEMORY_GOAL = 256.0
GOAL_MEGABYTES = 500.0
SEAL_SECONDS = 120.0


async def last() -> AsyncIterator[Figure]:
    """The last 1,000 lines of a log of 10 GiB, beside those of one of 10 MiB; both sealed but for their ends."""
    async with backend(**SETTINGS) as (up, _), open_channel(up.address) as channel:
        small, large = await make_run(channel, "small"), await make_run(channel, "large")
        await _write(channel, small, SMALL_BYTES)
        await _grown(up, channel, large, LARGE_BYTES)
        for run in (small, large):
            await _seconds_for_last(channel, run)
        async with costs_of(up.pid) as costs:
            small_taken, large_taken = [], []
            for _ in range(READS):
                small_taken.append(await _seconds_for_last(channel, small) * 1_000)
                large_taken.append(await _seconds_for_last(channel, large) * 1_000)
    limit = "the same of a log of 10 MiB", small_taken
    yield cost("logs.last", "ms", large_taken, limit, 2 * statistics.median(small_taken))
    yield _memory("logs.last_memory", [costs.most_megabytes])


async def search() -> AsyncIterator[Figure]:
    """A literal in 1 GiB of sealed log, beside zstd and bytes.find in one thread over the same frames."""
    async with backend(**SETTINGS) as (up, _), open_channel(up.address) as channel:
        run = await make_run(channel, "searched")
        await _grown(up, channel, run, SEARCHED_BYTES)
        searched, plain, cpu, memory = [], [], [], []
        for _ in range(SEARCHES):
            plain.append(await asyncio.to_thread(_plain_megabytes_per_second))
            async with costs_of(up.pid) as costs:
                searched.append(await _search(channel, run))
            cpu.append(costs.cpu_seconds / (SEARCHED_BYTES / 1e9))
            memory.append(costs.most_megabytes)
    yield rate("logs.search", "MB/s", searched, ("zstd and bytes.find in one thread", plain), GOAL_MEGABYTES)
    yield cost("logs.search_cpu", "s/GB", cpu, ("zstd and find", [1_000 / each for each in plain]), None)
    yield _memory("logs.search_memory", memory)


def _memory(name: str, megabytes: Sequence[float]) -> Figure:
    return cost(name, "MB", [statistics.median(megabytes)] * 3, ("the goal", [MEMORY_GOAL] * 3), MEMORY_GOAL)


async def _seconds_for_last(channel: grpc.aio.Channel, run: str) -> float:
    begun = time.perf_counter()
    request = messages.ReadLogRequest(run=run, path=PATH, last_lines=LINES)
    text = b"".join([part.data async for part in stubs.logs(channel).ReadLog(request)])
    if text.count(b"\n") not in (LINES - 1, LINES):
        raise RuntimeError(f"not {LINES} lines but {len(text)} bytes came")
    return time.perf_counter() - begun


async def _search(channel: grpc.aio.Channel, run: str) -> float:
    begun = time.perf_counter()
    request = messages.SearchLogsRequest(parent=run.partition("/runs/")[0], runs=[run], literal=NEEDLE)
    answers = [answer async for answer in stubs.logs(channel).SearchLogs(request)]
    if answers[-1].ended != messages.SEARCH_END_COMPLETE:
        raise RuntimeError(f"the search ended with {answers[-1].ended}")
    return answers[-1].searched_bytes / (time.perf_counter() - begun) / 1e6


def _plain_megabytes_per_second() -> float:
    """What decompressing and looking for the text takes anybody."""
    text = pool()
    compressor, decompressor = zstandard.ZstdCompressor(level=1), zstandard.ZstdDecompressor()
    frames = [compressor.compress(text[at : at + CHUNK_BYTES]) for at in range(0, len(text), CHUNK_BYTES)]
    begun = time.perf_counter()
    for _ in range(8):
        for frame in frames:
            if decompressor.decompress(frame).find(NEEDLE) >= 0:
                raise RuntimeError("what is not there was found")
    return 8 * len(text) / (time.perf_counter() - begun) / 1e6


async def _write(channel: grpc.aio.Channel, run: str, size_bytes: int) -> None:
    await write_log(channel, run, chunks(size_bytes // CHUNK_BYTES, CHUNK_BYTES), size_bytes)


async def _grown(up: Up, channel: grpc.aio.Channel, run: str, size_bytes: int) -> None:
    """Makes a log of so many bytes: the service seals the first of them, and copies of a segment follow these.

    Some MiB stay in Postgres, behind the copies.
    """
    await _write(channel, run, WRITTEN_BYTES)
    connection = await asyncpg.connect(up.postgres)
    try:
        async with asyncio.timeout(SEAL_SECONDS):
            while await connection.fetchval(_UNSEALED):
                await connection.execute("SELECT pg_sleep(0.1)")
        async with _bucket(up.data) as bucket:
            _, workspace, _, name = run.split("/")
            while await connection.fetchval("SELECT size_bytes FROM logs.file WHERE run = $1", name) < size_bytes:
                row = await connection.fetchrow(_ADD_SEGMENT, name)
                assert row is not None
                folder = f"logs/{workspace}/{name}"
                await bucket.put(f"{folder}/{row['segment']}.zst", await bucket.get(f"{folder}/{row['copied']}.zst"))
    finally:
        await connection.close()


_UNSEALED = """
SELECT EXISTS (SELECT FROM logs.seal_task)
    OR EXISTS (SELECT FROM logs.file WHERE size_bytes - sealed_bytes >= 16 * 1024 * 1024)
"""
_ADD_SEGMENT = """
WITH source AS (
    SELECT * FROM logs.segment WHERE run = $1 AND state = 'current' ORDER BY size_bytes DESC LIMIT 1
), before AS (
    SELECT sealed_bytes, sealed_line_feeds FROM logs.file WHERE run = $1
), moved_chunks AS (
    UPDATE logs.chunk SET start_offset = chunk.start_offset + source.size_bytes FROM source WHERE chunk.run = $1
), moved_file AS (
    UPDATE logs.file
       SET size_bytes = file.size_bytes + source.size_bytes, sealed_bytes = sealed_bytes + source.size_bytes,
           sealed_line_feeds = sealed_line_feeds + source.line_feeds
      FROM source WHERE file.run = $1
)
INSERT INTO logs.segment (workspace, run, file, state, expire_time, start_offset, size_bytes, start_line_feeds,
                          line_feeds, frames, times_start, times_bytes, times_crc)
SELECT workspace, run, file, 'current', 'infinity', before.sealed_bytes, size_bytes, before.sealed_line_feeds,
       line_feeds, frames, times_start, times_bytes, times_crc
  FROM source, before
RETURNING segment, (SELECT segment FROM source) AS copied
"""


@asynccontextmanager
async def _bucket(data: Path) -> AsyncIterator[Bucket]:
    """The bucket of a backend."""
    keys = json.loads((data / "s3" / "credentials.json").read_text())
    endpoint = f"http://127.0.0.1:{(data / 's3' / 'port').read_text().strip()}"
    config = BucketConfig(endpoint=endpoint, public_endpoint=endpoint, **keys)
    async with open_bucket(config) as bucket:
        yield bucket
