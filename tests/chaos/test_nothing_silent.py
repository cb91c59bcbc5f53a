"""P8: what was sent is stored or refused, value for value, and who looks at the run can see it."""

import random
from collections import Counter
from pathlib import Path

import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream_server.rpc import open_channel
from tests import stubs
from tests.append_clients import doubles, metrics_stream
from tests.chaos.scale import SCALE
from tests.conftest import Backend
from tests.spools import script, spools_in, warnings

BATCHES = 30 * SCALE.faults * SCALE.factor
VALUES = 7

POISON = {
    "INVALID_NAME": [doubles("", [1.0]), doubles("x" * 2_000, [1.0, 2.0]), doubles("a\0b", [3.0])],
    "UNEQUAL_COLUMNS": [
        metrics.SeriesColumns(metric="p", times=[1, 2, 3], doubles=metrics.DoubleValues(values=[1.0, 2.0])),
        metrics.SeriesColumns(metric="p", times=[1, 2], steps=[1], doubles=metrics.DoubleValues(values=[1.0, 2.0])),
    ],
    "TEXT_TOO_LONG": [
        metrics.SeriesColumns(metric="p", times=[1, 2], strings=metrics.StringValues(values=["fine", "x" * 10_001]))
    ],
    "NO_VALUES": [metrics.SeriesColumns(metric="p", times=[1, 2])],
}

LOGGING = """
import sys
from runstream._spool import RunSpool
spool = RunSpool.open(*sys.argv[1:3])
for number in range(int(sys.argv[3])):
    spool.log("loss", float(number))
    spool.log("table", float(number))
    spool.log("", float(number))
"""


def values_in(columns: metrics.SeriesColumns) -> int:
    """How many values a column means to have."""
    return len(columns.times)


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_what_was_sent_is_what_is_stored_and_what_is_refused(backend: Backend, run: str, seed: int) -> None:
    choice = random.Random(seed)
    sent, expected = 0, Counter[str]()
    async with metrics_stream(backend.channel, run) as stream:
        for sequence in range(1, BATCHES + 1):
            columns = [doubles(f"m{choice.randrange(5)}", [choice.random()] * choice.randrange(1, 20))]
            if choice.random() < 0.2:
                reason = choice.choice(sorted(POISON))
                columns.insert(choice.randrange(2), choice.choice(POISON[reason]))
                expected[reason] += sum(map(values_in, columns)) - sum(
                    values_in(each) for each in columns if each.metric.startswith("m")
                )
            sent += sum(map(values_in, columns))
            await stream.send(sequence, *columns)
        await stream.acknowledged(BATCHES)
        refused = Counter[str]()
        for refusal in stream.refusals:
            refused[refusal.reason] += refusal.count

    response = await stubs.metrics(backend.channel).ListSeries(metrics.ListSeriesRequest(parent=run))
    assert refused == expected
    assert sent == sum(series.count for series in response.series) + refused.total()


async def test_a_run_says_how_many_values_of_a_script_were_refused(
    backend: Backend, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = metrics.SeriesColumns(metric="table", times=[1], table=metrics.TableValues(row_count=1))
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, rows)
        await stream.acknowledged(1)
    with spools_in(tmp_path / "spools", monkeypatch) as spools:
        async with script(LOGGING, run, backend.address, str(VALUES)) as logging:
            await logging.end()
        await spools.carried()
    async with open_channel(backend.address) as channel:
        response = await stubs.metrics(channel).ListSeries(metrics.ListSeriesRequest(parent=run))
        said = await warnings(channel, run)
    assert [(series.metric, series.count) for series in response.series] == [("loss", VALUES), ("table", 1)]
    assert any(f"{VALUES} values of metric 'table'" in text and "MIXED_KINDS" in text for text in said), said
    assert any(f"{VALUES} values of metric ''" in text and "INVALID_NAME" in text for text in said), said
