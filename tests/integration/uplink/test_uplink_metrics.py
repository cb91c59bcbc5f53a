"""What a process logs arrives, in order and once."""

import asyncio
import math
import time
from dataclasses import replace

import pytest

from runstream._spool.format import TEXT
from runstream._spool.launch import ensure_uplink
from runstream._spool.places import group_folder
from runstream._spool.writer import SpoolWriter
from runstream.exceptions import AzureMLException
from runstream_server.config import Config
from tests.conftest import Backend, serve
from tests.make_runs import make_run
from tests.spools import Spools, columns, until, values, values_of, warnings

FLUSH_SECONDS = 30.0
NOWHERE = "127.0.0.1:9"


async def test_values_of_all_kinds_arrive_in_order(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    logged = [1.5, 2, True, "three", None, math.inf, -(2**63), "", False, 0.1]

    for value in logged:
        spool.log("mixed", value)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    stored = await values(backend.channel, run, "mixed")
    assert stored == logged
    assert list(map(type, stored)) == list(map(type, logged))


async def test_nan_stays_nan(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    spool.log("loss", math.nan)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    (stored,) = await values(backend.channel, run, "loss")
    assert isinstance(stored, float)
    assert math.isnan(stored)


async def test_steps_times_and_descriptions_arrive(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    begin = time.time_ns() // 1000
    spool.log("loss", 0.5, step=10, description="how wrong it is")
    spool.log("loss", 0.25, step=7)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    (stored,) = await columns(backend.channel, run)
    assert list(stored.steps) == [10, 7]
    assert begin <= stored.times[0] <= stored.times[1] <= time.time_ns() // 1000


async def test_lists_arrive_and_an_empty_one_makes_a_metric(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    spool.log_list("long", range(100_000))
    spool.log_list("mixed", [1, "a", None, 0.5])
    spool.log_list("empty", [])
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    assert await values(backend.channel, run, "long") == list(range(100_000))
    assert await values(backend.channel, run, "mixed") == [1, "a", None, 0.5]
    assert [list(values_of(each)) for each in await columns(backend.channel, run) if each.metric == "empty"] == [[]]


async def test_many_metrics_of_a_busy_writer_arrive(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    for step in range(3_000):
        for metric in range(10):
            spool.log(f"metric {metric}", step + metric / 10, step=step)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    for metric in range(10):
        stored = await values(backend.channel, run, f"metric {metric}")
        assert stored == [step + metric / 10 for step in range(3_000)]


async def test_finished_spools_are_removed_and_the_uplink_ends(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    spool.log("loss", 1.0)
    spool.finish()
    await spools.carried()
    await spools.no_uplink()
    assert await values(backend.channel, run, "loss") == [1.0]
    assert {path.name for path in spools.root.glob("*/*")} == {"uplink.lock", "uplink.log"}


async def test_logging_goes_on_after_finish(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    spool.log("loss", 1.0)
    spool.finish()
    spool.log("loss", 2.0)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    stored = await values(backend.channel, run, "loss")
    assert sorted(map(str, stored)) == ["1.0", "2.0"]


async def test_one_uplink_carries_the_spools_of_all_runs(backend: Backend, spools: Spools) -> None:
    runs = [await make_run(backend.channel, f"run-{number}") for number in range(4)]
    for number, run in enumerate(runs):
        spools.open(run, backend.address).log("number", number)
    for run in runs:
        await asyncio.to_thread(spools.open(run, backend.address).flush, FLUSH_SECONDS)
    assert len(spools.uplinks()) == 1
    assert [await values(backend.channel, run, "number") for run in runs] == [[number] for number in range(4)]


async def test_many_spools_that_were_left_are_carried(backend: Backend, run: str, spools: Spools) -> None:
    for number in range(40):
        writer = SpoolWriter(group_folder(backend.address), run, backend.address)
        writer.add_double(f"metric {number}", float(number), number, None)
        writer.abandon()
    ensure_uplink(group_folder(backend.address))
    await spools.carried()
    assert len(await columns(backend.channel, run)) == 40


async def test_a_flush_gives_up_after_its_timeout(spools: Spools) -> None:
    spool = spools.open("workspaces/space/runs/run", NOWHERE)
    spool.log("loss", 1.0)
    with pytest.raises(AzureMLException, match=r"could not be flushed within 0\.2 seconds"):
        await asyncio.to_thread(spool.flush, 0.2)
    assert spools.left()


async def test_what_the_client_refuses_fails_one_flush_and_is_seen_on_the_run(
    backend: Backend, run: str, spools: Spools
) -> None:
    spool = spools.open(run, backend.address)
    spool.log("good", 1.0)
    spool.log("n" * 256, 2.0)
    with pytest.raises(AzureMLException, match="INVALID_NAME"):
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    assert await values(backend.channel, run, "good") == [1.0]
    spool.finish()
    await spools.carried()
    (warning,) = await warnings(backend.channel, run)
    assert "are not stored: a name has 1 to 255 characters" in warning


async def test_what_the_service_refuses_is_told_to_the_writer_and_to_the_run(
    backend: Backend, run: str, spools: Spools
) -> None:
    spool = spools.open(run, backend.address)
    spool.log("good", 1.0)
    assert spool._writer is not None
    spool._writer.add_value("text", TEXT, "x" * 10_001, 1, None)  # as a client without limits would
    spool.log("good", 2.0)

    with pytest.raises(AzureMLException, match=r"1 of metric 'text' .TEXT_TOO_LONG"):
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    spool.finish()
    await spools.carried()
    assert await values(backend.channel, run, "good") == [1.0, 2.0]
    (warning,) = await warnings(backend.channel, run)
    assert "Values of metric 'text' are not stored" in warning


async def test_a_run_that_does_not_exist_stops_the_queue_and_keeps_the_spool(backend: Backend, spools: Spools) -> None:
    spool = spools.open("workspaces/space/runs/unknown", backend.address)
    spool.log("loss", 1.0)
    with pytest.raises(AzureMLException, match=r"not carried up any more: .*RUN_NOT_FOUND"):
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    assert spools.left()
    await spools.no_uplink()


async def test_damage_of_a_spool_is_skipped_and_seen_on_the_run(backend: Backend, run: str, spools: Spools) -> None:
    writer = SpoolWriter(group_folder(backend.address), run, backend.address)
    for number in range(100):
        writer.add_double("loss", float(number), number, None)
        if number == 49:
            damaged = writer.position - 10
    writer.finish()
    with writer.path.open("r+b") as file:
        file.seek(damaged)
        file.write(b"\xff")
    ensure_uplink(writer.path.parent)
    await spools.carried()

    assert await values(backend.channel, run, "loss") == [float(n) for n in range(100) if n != 49]
    (warning,) = await warnings(backend.channel, run)
    assert f"at offset {damaged + 10 - 29} of a spool are damaged" in warning


async def test_the_uplink_waits_for_services_that_are_away(config: Config, spools: Spools) -> None:
    async with serve(config) as before:
        run = await make_run(before.channel)
        spool = spools.open(run, before.address)
        spool.log("loss", 1.0)
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    spool.log("loss", 2.0)
    log = next(spools.root.glob("*/uplink.log"))
    await until(lambda: "the stream broke" in log.read_text())
    port = int(before.address.rpartition(":")[2])
    async with serve(replace(config, server=replace(config.server, port=port))) as after:
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
        assert await values(after.channel, run, "loss") == [1.0, 2.0]
