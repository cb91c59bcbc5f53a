"""Small chunks are merged in the background, and nobody notices."""

import asyncio

import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.metrics.maintenance.compaction import Compaction
from runstream_server.metrics.maintenance.compaction_store import CompactionStore
from runstream_server.metrics.maintenance.fragments import Fragments
from runstream_server.metrics.maintenance.merging import merge_chunks, plan_merges
from runstream_server.metrics.overview_store import OverviewStore
from runstream_server.metrics.queries import ReadRequest
from runstream_server.metrics.reading import SeriesReader
from runstream_server.metrics.sealing.object_store import SealedObjectStore
from runstream_server.metrics.sealing.reading import SealedReader
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.store import MetricStore
from runstream_server.metrics.windows import EVERYTHING
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from runstream_server.sealing.pace import Pace
from tests import stubs
from tests.append_clients import doubles, metrics_stream
from tests.conftest import Backend


async def write(backend: Backend, run: str, *batches: list[messages.SeriesColumns]) -> None:
    """Writes batches one after the other, each in a commit of its own."""
    async with metrics_stream(backend.channel, run) as stream:
        for sequence, batch in enumerate(batches, await stream.opened() + 1):
            await stream.send(sequence, *batch)
            await stream.acknowledged(sequence)


async def values_of(backend: Backend, run: str) -> list[float]:
    request = messages.ReadSeriesRequest(runs=[run])
    responses = stubs.metrics(backend.channel).ReadSeries(request)
    return [value async for response in responses for value in response.columns.doubles.values]


async def chunk_count(postgres: Postgres) -> int:
    return int(await postgres.fetchval("SELECT count(*) FROM metrics.chunk"))


def compaction(postgres: Postgres) -> Compaction:
    return Compaction(CompactionStore(postgres), Fragments(), Pace(1.0))


async def test_small_chunks_of_a_series_are_merged_without_being_asked(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    await write(backend, run, *([doubles("m", [n])] for n in range(64)))

    async with asyncio.timeout(20):
        while await chunk_count(postgres) > 1:
            pass
    assert await values_of(backend, run) == list(range(64))
    await write(backend, run, [doubles("m", [64])])
    assert await values_of(backend, run) == list(range(65))


@pytest.mark.parametrize("start", [7, 187])
async def test_a_reader_between_two_pages_does_not_notice(
    backend: Backend, postgres: Postgres, bucket: Bucket, run: str, start: int
) -> None:
    texts = [str(n).rjust(1_000) for n in range(60 * 180)]  # more than one page holds
    await write(backend, run, *([strings("m", texts[at : at + 180])] for at in range(0, len(texts), 180)))
    store = MetricStore(postgres)
    source = ChunkSource(store, OverviewStore(postgres), SealedReader(SealedObjectStore(postgres), bucket))
    reading = SeriesReader(store, source).read(ReadRequest([RunName.parse(run)], ["m"], start), EVERYTHING)
    parts = [await anext(reading)]
    await compaction(postgres).merge(RunName.parse(run), ["m"])

    assert await chunk_count(postgres) == 12
    async for part in reading:
        assert part.start_index == parts[-1].end_index
        parts.append(part)
    assert [text for part in parts for text in part.segment.strings] == texts[start:]


def strings(metric: str, values: list[str]) -> messages.SeriesColumns:
    times = range(1, len(values) + 1)
    return messages.SeriesColumns(metric=metric, times=times, strings=messages.StringValues(values=values))


async def test_a_rewrite_of_chunks_that_somebody_else_rewrote_changes_nothing(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    await write(backend, run, *([doubles("m", [n])] for n in range(8)))
    store, name = CompactionStore(postgres), RunName.parse(run)
    plan = plan_merges(await store.small_chunks(name, ["m"]))
    merged = merge_chunks(name, await store.contents(name, plan))
    late = plan_merges((await store.small_chunks(name, ["m"]))[4:])
    assert await store.replace(name, merge_chunks(name, await store.contents(name, late)))

    assert not await store.replace(name, merged)
    assert await chunk_count(postgres) == 5
    assert await values_of(backend, run) == list(range(8))


async def test_many_that_merge_the_same_series_at_once_lose_and_double_nothing(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    await write(backend, run, *([doubles(metric, [n]) for metric in "abc"] for n in range(30)))

    await asyncio.gather(*(compaction(postgres).merge(RunName.parse(run), list("abc")) for _ in range(6)))

    assert await values_of(backend, run) == list(range(30)) * 3
    assert await chunk_count(postgres) == 3


async def test_merging_waits_for_no_writer_and_no_writer_for_it(backend: Backend, postgres: Postgres, run: str) -> None:
    await write(backend, run, *([doubles("m", [n])] for n in range(8)))
    store, name = CompactionStore(postgres), RunName.parse(run)
    merged = merge_chunks(name, await store.contents(name, plan_merges(await store.small_chunks(name, ["m"]))))

    async with postgres.transaction() as writing:  # a writer that has locked what writers lock
        await writing.execute("UPDATE metrics.writer SET position = position")
        await writing.execute("UPDATE metrics.series SET revision = revision")
        async with asyncio.timeout(5):
            assert await store.replace(name, merged)
    async with postgres.transaction() as rewriting:
        await rewriting.execute("SELECT FROM metrics.chunk FOR UPDATE")
        await write(backend, run, [doubles("m", [8])])
    assert await values_of(backend, run) == list(range(9))


async def test_chunks_with_and_without_steps_are_merged(backend: Backend, postgres: Postgres, run: str) -> None:
    await write(backend, run, *([doubles("m", [n], [] if n % 2 else [n * 10])] for n in range(10)))

    await compaction(postgres).merge(RunName.parse(run), ["m"])

    responses = stubs.metrics(backend.channel).ReadSeries(messages.ReadSeriesRequest(runs=[run]))
    steps = [step async for response in responses for step in response.columns.steps]
    assert steps == [n if n % 2 else n * 10 for n in range(10)]
    assert await chunk_count(postgres) == 1
