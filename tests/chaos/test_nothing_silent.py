"""P8: what was sent is stored or refused, value for value, and who looks at the run can see it."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import grpc
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream_server.rpc import open_channel
from tests import stubs
from tests.append_clients import doubles, metrics_stream
from tests.chaos.checker import Checker
from tests.chaos.conftest import Site
from tests.chaos.nemesis import Nemesis, cut_faults, postgres_faults, server_faults
from tests.chaos.pace import Pace
from tests.chaos.poison import POISON, PoisonedPayload, PoisonedSource, values_in
from tests.chaos.scale import SCALE
from tests.chaos.writers import write
from tests.conftest import Backend
from tests.make_runs import make_run
from tests.spools import script, spools_in, warnings

BATCHES = 30 * SCALE.faults * SCALE.factor
WRITERS = 4 * SCALE.factor
FAULTS = max(4, SCALE.faults // 2)
STRIDE = 12
POINTS = 20
VALUES = 7

LOGGING = """
import sys
from runstream._spool import RunSpool
spool = RunSpool.open(*sys.argv[1:3])
for number in range(int(sys.argv[3])):
    spool.log("loss", float(number))
    spool.log("table", float(number))
    spool.log("", float(number))
"""


async def counted_refusals(channel: grpc.aio.Channel, run: str) -> Counter[str]:
    """How many values of a run were refused, by reason; those of few metrics are counted by metric as well."""
    response = await stubs.metrics(channel).GetRefusals(metrics.GetRefusalsRequest(run=run))
    assert all(each.count == sum(one.count for one in each.metrics) for each in response.refusals)
    return Counter({each.reason: each.count for each in response.refusals})


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_sent_is_stored_and_refused_whatever_is_killed(site: Site, tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    pace = Pace(WRITERS, STRIDE, FAULTS)
    async with open_channel(site.server.address) as channel:
        run = await make_run(channel)
    deadly = {**server_faults(site.server), **postgres_faults(site.postgres, choice), **cut_faults(site.proxy)}
    names = ("kill the server", "kill the postmaster", "cut before commit", "cut after commit")
    nemesis = Nemesis({name: deadly[name] for name in names}, choice, tmp_path / "diary")

    async with asyncio.timeout(SCALE.seconds), asyncio.TaskGroup() as tasks:
        tasks.create_task(nemesis.run(FAULTS, lambda number: pace.fault_due(number + choice.random())))
        for writer in range(WRITERS):
            sending = write(site.server.address, run, seed, writer, POINTS, tmp_path, pace, PoisonedSource)
            tasks.create_task(sending)

    sent = [
        PoisonedPayload(seed, writer, sequence, POINTS)
        for writer in range(WRITERS)
        for sequence in range(1, pace.batches + 1)
    ]
    async with open_channel(site.server.address) as channel:
        await Checker(run, seed, range(WRITERS), POINTS, tmp_path).check_all(channel)
        assert await counted_refusals(channel, run) == sum((each.refused() for each in sent), Counter())


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
    assert refused == expected == await counted_refusals(backend.channel, run)
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
