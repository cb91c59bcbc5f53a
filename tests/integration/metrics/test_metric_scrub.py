"""A scrub reads all values and tells what is damaged."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.config import Config, MaintenanceConfig
from runstream_server.metrics.scrubbing import scrub
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import doubles, failure_of_stream, metrics_stream
from tests.conditions import until_answered
from tests.conftest import Backend
from tests.log_files import end_run
from tests.make_runs import make_run

METRICS = ("a", "b")
VALUES = [float(n) for n in range(1_000)]


@pytest.fixture
def config(config: Config) -> Config:
    """Settings of servers that seal at once."""
    return replace(config, maintenance=MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0))


async def write(backend: Backend, run: str, batches: int = 1) -> None:
    """Writes two series, each batch in a commit of its own."""
    async with metrics_stream(backend.channel, run) as stream:
        for sequence in range(1, batches + 1):
            columns = [doubles(metric, [value + sequence for value in VALUES]) for metric in METRICS]
            await stream.send(sequence, *columns)
            await stream.acknowledged(sequence)


async def sealed(backend: Backend, postgres: Postgres, *runs: str) -> None:
    """Ends runs, and waits until nothing of them is left in Postgres."""
    for run in runs:
        await end_run(backend, run)
    await until_answered(
        lambda: postgres.fetchval(
            "SELECT NOT EXISTS (SELECT FROM metrics.chunk) AND NOT EXISTS (SELECT FROM metrics.seal_task)"
        )
    )


async def reading(backend: Backend, run: str) -> str:
    request = messages.ReadSeriesRequest(runs=[run])
    failure = await failure_of_stream(stubs.metrics(backend.channel).ReadSeries(request))
    return failure.code.name


async def damages(config: Config) -> Sequence[tuple[str, str, int, int]]:
    found = await scrub(config)
    assert found["damaged_places"] == len(found["damaged"])
    return [(each["run"], each["metric"], each["start_index"], each["end_index"]) for each in found["damaged"]]


async def test_a_scrub_finds_chunks_that_are_damaged_exchanged_or_gone(
    backend: Backend, config: Config, postgres: Postgres, run: str
) -> None:
    await write(backend, run, batches=3)
    exchanged = await make_run(backend.channel, "exchanged")
    await write(backend, exchanged, batches=2)
    assert await scrub(config) == {"series": 4, "values": 10_000, "damaged_places": 0, "damaged": []}

    await postgres.execute("DELETE FROM metrics.chunk WHERE run = 'run' AND start_index = 1000 AND series = 1")
    await postgres.execute(
        """
        UPDATE metrics.chunk SET columns = set_byte(columns, 40, 255 - get_byte(columns, 40))
         WHERE run = 'run' AND start_index = 2000 AND series = 2
        """
    )
    await postgres.execute(
        """
        UPDATE metrics.chunk AS one SET columns = other.columns
          FROM metrics.chunk AS other
         WHERE one.run = 'exchanged' AND other.run = 'exchanged'
           AND one.series = other.series AND one.start_index = 1000 - other.start_index
        """
    )

    assert await damages(config) == [
        (exchanged, "a", 0, 1_000),
        (exchanged, "a", 1_000, 2_000),
        (exchanged, "b", 0, 1_000),
        (exchanged, "b", 1_000, 2_000),
        (run, "a", 1_000, 2_000),
        (run, "b", 2_000, 3_000),
    ]
    assert [await reading(backend, each) for each in (run, exchanged)] == ["DATA_LOSS"] * 2


async def test_a_scrub_finds_objects_of_sealed_runs_that_are_damaged_or_gone(
    backend: Backend, config: Config, postgres: Postgres, bucket: Bucket, run: str
) -> None:
    lost, cut, well = [await make_run(backend.channel, name) for name in ("lost", "cut", "well")]
    for each in (run, lost, cut, well):
        await write(backend, each)
    await sealed(backend, postgres, run, lost, cut, well)
    assert await damages(config) == []

    keys = {each.key.split("/")[2]: each.key async for each in bucket.list("metrics/")}
    content = bytearray(await bucket.get(keys["run"]))
    content[20] ^= 1
    await bucket.put(keys["run"], bytes(content))
    await bucket.put(keys["cut"], (await bucket.get(keys["cut"]))[:-1])
    await bucket.delete(keys["lost"])

    assert await damages(config) == [(each, metric, 0, 1_000) for each in (cut, lost, run) for metric in METRICS]
    assert [await reading(backend, each) for each in (cut, lost, run)] == ["DATA_LOSS"] * 3


async def test_chunks_of_an_earlier_version_have_no_checksum_to_compare(
    backend: Backend, config: Config, postgres: Postgres, run: str
) -> None:
    await write(backend, run)
    await postgres.execute("UPDATE metrics.chunk SET checksum = NULL")

    assert await damages(config) == []
