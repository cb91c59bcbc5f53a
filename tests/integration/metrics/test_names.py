"""How many names a run and how many values a series may have."""

from collections.abc import Iterable

import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.metrics.limits import MAX_NAMES, MAX_VALUES
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import doubles, metrics_stream
from tests.conftest import Backend


def empty(names: Iterable[int]) -> list[messages.SeriesColumns]:
    return [messages.SeriesColumns(metric=f"m{name:06}", nulls=messages.NullValues()) for name in names]


async def name_count(postgres: Postgres) -> int:
    return int(await postgres.fetchval("SELECT series_count FROM metrics.name_count"))


async def test_names_are_counted_when_they_are_new(
    backend: Backend, replica: Backend, postgres: Postgres, run: str
) -> None:
    for served, writer in ((backend, "one"), (replica, "other")):
        async with metrics_stream(served.channel, run, writer) as stream:
            await stream.send(1, *[doubles("shared", [1.0])] * 3, *empty(range(100)))
            await stream.send(2, doubles("shared", [1.0]), doubles(writer, [1.0]))
            await stream.acknowledged(2)

    assert await name_count(postgres) == 103


async def test_names_beyond_the_limit_are_refused_and_known_ones_are_not(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, *empty(range(10)))
        await stream.acknowledged(1)
        await postgres.execute("UPDATE metrics.name_count SET series_count = $1", MAX_NAMES - 5)
        await stream.send(2, *empty(range(5, 20)), doubles("m000000", [1.0]))
        await stream.acknowledged(2)
        assert {(each.reason, each.metric) for each in stream.refusals} == {
            ("TOO_MANY_METRICS", f"m{name:06}") for name in range(15, 20)
        }
        await stream.send(3, doubles("m000000", [2.0]), doubles("one more", [1.0]))
        await stream.acknowledged(3)
        assert (stream.refusals[-1].metric, stream.refusals[-1].reason) == ("one more", "TOO_MANY_METRICS")

    assert await name_count(postgres) == MAX_NAMES
    request = messages.ListSeriesRequest(parent=run)
    listed = (await stubs.metrics(backend.channel).ListSeries(request)).series
    assert [(each.metric, each.count) for each in listed] == [
        (f"m{name:06}", 2 if name == 0 else 0) for name in range(15)
    ]


async def test_ten_thousand_names_of_one_run_are_stored(backend: Backend, postgres: Postgres, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        for sequence in range(1, 5):
            await stream.send(sequence, *empty(range((sequence - 1) * 3_000, sequence * 3_000)))
        await stream.acknowledged(4)
        assert stream.refusals == []

    assert await name_count(postgres) == 12_000


@pytest.mark.parametrize(("before", "stored"), [(MAX_VALUES - 3, 3), (MAX_VALUES - 2, 2), (MAX_VALUES, 0)])
async def test_values_beyond_the_limit_of_a_series_are_refused_piece_by_piece(
    backend: Backend, postgres: Postgres, run: str, before: int, stored: int
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, *empty([1]))
        await stream.acknowledged(1)
        await postgres.execute("UPDATE metrics.series SET point_count = $1", before)
        await stream.send(2, doubles("m000001", [1.0, 2.0]), doubles("m000001", [3.0]), doubles("other", [4.0]))
        await stream.acknowledged(2)

        assert {each.reason for each in stream.refusals} <= {"TOO_MANY_VALUES"}
        assert sum(each.count for each in stream.refusals) == 3 - stored
    assert await postgres.fetchval("SELECT point_count FROM metrics.series WHERE metric = 'm000001'") == before + stored
    assert await postgres.fetchval("SELECT point_count FROM metrics.series WHERE metric = 'other'") == 1
