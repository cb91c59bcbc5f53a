"""Rows of tables and artifacts: stored as they are, one kind for each name."""

import asyncio
import math
from collections.abc import Sequence

import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from tests import stubs
from tests.append_clients import doubles, metrics_stream
from tests.conftest import Backend

IMAGE = messages.ARTIFACT_KIND_IMAGE
MATRIX = messages.ARTIFACT_KIND_CONFUSION_MATRIX


def numbers(name: str, values: Sequence[float]) -> messages.TableColumn:
    return messages.TableColumn(name=name, doubles=messages.DoubleValues(values=values))


def texts(name: str, values: Sequence[str]) -> messages.TableColumn:
    return messages.TableColumn(name=name, strings=messages.StringValues(values=values))


def rows(metric: str, count: int, *columns: messages.TableColumn) -> messages.SeriesColumns:
    table = messages.TableValues(row_count=count, columns=columns)
    return messages.SeriesColumns(metric=metric, times=range(count), table=table)


def artifacts(metric: str, kind: messages.ArtifactKind.ValueType, *paths: str) -> messages.SeriesColumns:
    values = messages.ArtifactValues(kind=kind, paths=paths)
    return messages.SeriesColumns(metric=metric, times=range(len(paths)), artifacts=values)


async def read(backend: Backend, run: str) -> list[messages.SeriesColumns]:
    """What is stored, without its steps and times, which are indexes."""
    found = []
    async for response in stubs.metrics(backend.channel).ReadSeries(messages.ReadSeriesRequest(runs=[run])):
        assert list(response.columns.steps) == list(
            range(response.start_index, response.start_index + len(response.columns.times))
        )
        response.columns.ClearField("steps")
        response.columns.ClearField("times")
        found.append(response.columns)
    return found


async def series_of(backend: Backend, run: str) -> dict[str, messages.Series]:
    listed = await stubs.metrics(backend.channel).ListSeries(messages.ListSeriesRequest(parent=run))
    return {series.metric: series for series in listed.series}


def without_times(columns: messages.SeriesColumns) -> messages.SeriesColumns:
    bare = messages.SeriesColumns()
    bare.CopyFrom(columns)
    bare.ClearField("times")
    return bare


async def test_rows_are_read_as_they_were_stored(backend: Backend, run: str) -> None:
    table = rows(
        "table",
        3,
        numbers("b", [1.5, math.inf, -0.0]),
        texts("a", ["x", "", "日本"]),
        messages.TableColumn(name="int", int64s=messages.Int64Values(values=[-(2**63), 0, 2**63 - 1])),
        messages.TableColumn(name="bool", bools=messages.BoolValues(values=[True, False, True])),
        messages.TableColumn(name="none", nulls=messages.NullValues(count=3)),
    )
    wider = rows("table", 1, texts("new", ["n"]), numbers("b", [2.0]))
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, table)
        await stream.acknowledged(1)
        await stream.send(2, wider, rows("table", 2))
        await stream.acknowledged(2)
        assert stream.refusals == []

    assert await read(backend, run) == [without_times(each) for each in (table, wider, rows("table", 2))]
    (series,) = (await series_of(backend, run)).values()
    assert (series.kind, series.count) == (messages.SERIES_KIND_TABLE, 6)
    assert list(series.columns) == ["b", "a", "int", "bool", "none", "new"]
    assert not series.HasField("last")


async def test_artifacts_are_read_as_they_were_stored(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, artifacts("plot", IMAGE, "a.png", "b.png"), artifacts("plot", IMAGE, "日本.png"))
        await stream.send(2, artifacts("plot", MATRIX, "plot"))
        await stream.acknowledged(2)

    images = artifacts("plot", IMAGE, "a.png", "b.png", "日本.png")
    assert await read(backend, run) == [without_times(images), without_times(artifacts("plot", MATRIX, "plot"))]
    (series,) = (await series_of(backend, run)).values()
    assert (series.kind, series.count, list(series.columns)) == (messages.SERIES_KIND_ARTIFACTS, 4, [])


async def test_rows_logged_one_by_one_are_joined_while_their_columns_are_the_same(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        for sequence in range(1, 51):
            await stream.send(sequence, rows("t", 1, numbers("x", [sequence]), texts("y", [str(sequence)])))
        await stream.acknowledged(50)

    expected = rows("t", 50, numbers("x", range(1, 51)), texts("y", [str(n) for n in range(1, 51)]))
    assert await read(backend, run) == [without_times(expected)]


async def test_an_empty_table_shows_its_columns(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, rows("t", 0, numbers("x", []), texts("y", [])))
        await stream.acknowledged(1)
        assert stream.refusals == []

    nulls = messages.NullValues(count=0)
    expected = rows("t", 0, *(messages.TableColumn(name=name, nulls=nulls) for name in "xy"))
    assert await read(backend, run) == [without_times(expected)]
    assert list((await series_of(backend, run))["t"].columns) == ["x", "y"]


async def test_what_is_stored_first_decides_the_kind_and_another_kind_is_refused_by_itself(
    backend: Backend, run: str
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("v", [1.0]), rows("t", 1, numbers("x", [1.0])), artifacts("a", IMAGE, "p"))
        await stream.acknowledged(1)
        await stream.send(
            2,
            doubles("t", [2.0, 3.0]),
            rows("a", 1, numbers("x", [4.0])),
            artifacts("v", IMAGE, "q", "r", "s"),
            doubles("v", [5.0]),
        )
        await stream.acknowledged(2)

        refused = sorted((each.sequence, each.metric, each.reason, each.count) for each in stream.refusals)
        assert refused == [(2, "a", "MIXED_KINDS", 1), (2, "t", "MIXED_KINDS", 2), (2, "v", "MIXED_KINDS", 3)]
    assert {name: (each.kind, each.count) for name, each in (await series_of(backend, run)).items()} == {
        "v": (messages.SERIES_KIND_VALUES, 2),
        "t": (messages.SERIES_KIND_TABLE, 1),
        "a": (messages.SERIES_KIND_ARTIFACTS, 1),
    }


async def test_of_several_kinds_in_one_commit_the_first_is_stored(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(
            1,
            messages.SeriesColumns(metric="m", nulls=messages.NullValues()),
            rows("m", 1, numbers("x", [1.0])),
            doubles("m", [1.0, 2.0]),
            artifacts("m", IMAGE, "p"),
            rows("m", 2, numbers("x", [2.0, 3.0])),
        )
        await stream.acknowledged(1)

        assert [(each.reason, each.count) for each in stream.refusals] == [("MIXED_KINDS", 2), ("MIXED_KINDS", 1)]
    assert await read(backend, run) == [without_times(rows("m", 3, numbers("x", [1.0, 2.0, 3.0])))]


async def test_of_several_kinds_in_one_commit_the_kind_of_the_series_is_stored(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, artifacts("m", IMAGE, "p"))
        await stream.acknowledged(1)
        await stream.send(2, doubles("m", [1.0]), artifacts("m", IMAGE, "q"), rows("m", 1, numbers("x", [1.0])))
        await stream.acknowledged(2)

        assert [each.reason for each in stream.refusals] == ["MIXED_KINDS", "MIXED_KINDS"]
    assert await read(backend, run) == [without_times(artifacts("m", IMAGE, "p", "q"))]


async def test_a_series_that_is_empty_takes_any_kind(backend: Backend, run: str) -> None:
    empty = messages.SeriesColumns(metric="m", nulls=messages.NullValues())
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, empty)
        await stream.acknowledged(1)
        assert (await series_of(backend, run))["m"].kind == messages.SERIES_KIND_UNSPECIFIED
        await stream.send(2, rows("m", 1))
        await stream.send(3, empty)
        await stream.acknowledged(3)
        assert stream.refusals == []

    assert (await series_of(backend, run))["m"].kind == messages.SERIES_KIND_TABLE


async def test_of_writers_of_several_kinds_that_race_for_a_name_one_kind_wins(
    backend: Backend, replica: Backend, run: str
) -> None:
    kinds = [doubles("m", [1.0]), rows("m", 1), artifacts("m", IMAGE, "p")] * 2

    async def write(number: int) -> int:
        served = (backend, replica)[number % 2]
        async with metrics_stream(served.channel, run, f"w{number}") as stream:
            await stream.opened()
            await ready.wait()
            for sequence in range(1, 21):
                await stream.send(sequence, kinds[number], doubles(f"own{number}", [1.0]))
            await stream.acknowledged(20)
            assert {each.reason for each in stream.refusals} <= {"MIXED_KINDS"}
            return 20 - len(stream.refusals)

    ready = asyncio.Barrier(len(kinds))
    stored = await asyncio.gather(*map(write, range(len(kinds))))

    series = await series_of(backend, run)
    assert sorted(stored) == [0, 0, 0, 0, 20, 20]
    assert series["m"].count == 40
    assert all(series[f"own{number}"].count == 20 for number in range(len(kinds)))


async def test_a_table_takes_250_columns_and_only_the_rows_beyond_are_refused(backend: Backend, run: str) -> None:
    full = rows("t", 1, *(numbers(f"c{n}", [n]) for n in range(250)))
    beyond = rows("t", 1, numbers("c250", [0.0]))
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, full, beyond, rows("t", 1, numbers("c7", [0.0])))
        await stream.acknowledged(1)
        await stream.send(2, beyond, rows("t", 1, numbers("c8", [0.0])))
        await stream.acknowledged(2)

        assert [(each.sequence, each.reason, each.count) for each in stream.refusals] == [
            (1, "TOO_MANY_COLUMNS", 1),
            (2, "TOO_MANY_COLUMNS", 1),
        ]
    series = (await series_of(backend, run))["t"]
    assert (series.count, len(series.columns)) == (4 - 1 + 0, 250)


@pytest.mark.parametrize("name", ['"', "\\", "{a,b}", "NULL", "", "a b", "'", "日本"])
async def test_a_column_keeps_its_name_whatever_it_is(backend: Backend, run: str, name: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, rows("t", 1, numbers(name, [1.0])))
        await stream.acknowledged(1)
        assert [each.reason for each in stream.refusals] == ([] if name else ["INVALID_NAME"])

    if name:
        assert list((await series_of(backend, run))["t"].columns) == [name]
