"""ReadSeries with ranges of steps and times: exactly what is in range, at its index, whatever is skipped."""

import numpy as np
import pytest
from numpy.typing import NDArray

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import failure_of_stream, metrics_stream
from tests.conftest import Backend

SIZES = [8_300, 3, 2_000, 1, 300, 8_400]
COUNT = sum(SIZES)
COLUMNS = {
    "ascending": np.arange(COUNT) * 2,
    "restarted": np.concatenate([np.arange(12_000), np.arange(COUNT - 12_000)]),
    "anywhere": np.random.default_rng(7).integers(-(2**62), 2**62, COUNT // 30 + 1).repeat(30)[:COUNT],
    "constant": np.zeros(COUNT, np.int64),
}
TIMES = 1_700_000_000_000_000 + np.cumsum(np.random.default_rng(8).integers(0, 50, COUNT))


async def write(backend: Backend, run: str) -> None:
    """One series for each column of steps, and one without steps, in chunks of very different lengths."""
    async with metrics_stream(backend.channel, run) as stream:
        await stream.opened()
        begin = 0
        for sequence, size in enumerate(SIZES, 1):
            end = begin + size
            times, values = TIMES[begin:end].tolist(), messages.DoubleValues(values=range(begin, end))
            series = [
                messages.SeriesColumns(metric=metric, steps=steps[begin:end].tolist(), times=times, doubles=values)
                for metric, steps in COLUMNS.items()
            ]
            await stream.send(sequence, *series, messages.SeriesColumns(metric="implicit", times=times, doubles=values))
            await stream.acknowledged(sequence)  # one chunk each
            begin = end


async def read(backend: Backend, run: str, metric: str, options: dict[str, int]) -> list[int]:
    """The indexes of the values that come, each checked."""
    request = messages.ReadSeriesRequest(runs=[run], metrics=[metric], **options)  # type: ignore[arg-type]
    indexes: list[int] = []
    async for response in stubs.metrics(backend.channel).ReadSeries(request):
        came = np.arange(response.start_index, response.start_index + len(response.columns.times))
        assert np.array_equal(np.asarray(response.columns.doubles.values), came.astype(float))
        assert np.array_equal(np.asarray(response.columns.times), TIMES[came])
        assert np.array_equal(np.asarray(response.columns.steps), steps_of(metric)[came])
        indexes.extend(came.tolist())
    return indexes


def steps_of(metric: str) -> NDArray[np.int64]:
    return COLUMNS.get(metric, np.arange(COUNT))


def expected(metric: str, options: dict[str, int]) -> list[int]:
    indexes, steps = np.arange(COUNT), steps_of(metric)
    within = (indexes >= options.get("start_index", 0)) & (indexes < (options.get("end_index") or COUNT))
    within &= (steps >= options.get("min_step", -(2**63))) & (steps <= options.get("max_step", 2**63 - 1))
    within &= (options.get("min_time", -(2**63)) <= TIMES) & (options.get("max_time", 2**63 - 1) >= TIMES)
    return [int(index) for index in np.flatnonzero(within)]


async def test_exactly_the_values_in_range_come_at_their_indexes(backend: Backend, run: str) -> None:
    await write(backend, run)
    ranges: list[dict[str, int]] = [
        {},
        {"min_step": 20_000},
        {"max_step": 100},
        {"min_step": 5_000, "max_step": 5_000},
        {"min_step": 11_990, "max_step": 12_010},
        {"min_step": 9, "max_step": 3},
        {"min_time": int(TIMES[7_900]), "max_time": int(TIMES[11_500])},
        {"min_step": 500, "max_time": int(TIMES[15_000]), "start_index": 7_000, "end_index": 13_000},
        {"min_step": 0, "max_step": 2**60, "start_index": 11_001, "end_index": 11_200},
        {"min_step": 2**63 - 1},
    ]
    for options in ranges:
        for metric in [*COLUMNS, "implicit"]:
            assert await read(backend, run, metric, options) == expected(metric, options), (metric, options)


async def test_a_range_is_read_without_the_chunks_that_lie_beside_it(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    await write(backend, run)
    await postgres.execute("UPDATE metrics.chunk SET columns = '' WHERE point_count = 8300")

    options = {"min_step": 30_000}
    assert await read(backend, run, "ascending", options) == expected("ascending", options)


async def test_chunks_of_an_earlier_version_without_an_overview_are_read(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    await write(backend, run)
    await postgres.execute("UPDATE metrics.chunk SET overview = NULL WHERE point_count < 8350")

    for options in ({"min_step": 30_000}, {"max_step": 8_000}, {"min_step": 17_000, "max_step": 25_000}):
        assert await read(backend, run, "ascending", options) == expected("ascending", options)


@pytest.mark.parametrize("damaged", [b"", b"\1"])
async def test_a_damaged_overview_is_noticed(backend: Backend, postgres: Postgres, run: str, damaged: bytes) -> None:
    await write(backend, run)
    await postgres.execute("UPDATE metrics.chunk SET overview = $1 WHERE overview IS NOT NULL", damaged)

    call = stubs.metrics(backend.channel).ReadSeries(messages.ReadSeriesRequest(runs=[run], min_step=1))
    assert (await failure_of_stream(call)).reason == "DATA_LOSS"
