"""Batches are made of the same records again, whenever an uplink is killed and whatever the server has."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream._spool.events import Refusal
from runstream._spool.format import NULL, RECORD_HEAD_BYTES
from runstream._spool.places import progress_of
from runstream._spool.progress import ProgressFile
from runstream._spool.reader import Damage, SpoolReader
from runstream._spool.records import Record
from runstream._spool.writer import SpoolWriter
from runstream._uplink.append import Piece, Stopped
from runstream._uplink.doorbell import Doorbell
from runstream._uplink.metrics import MetricSource
from runstream.api.metrics.v1.metrics_service_pb2 import (
    MetricsAcknowledged,
    MetricsOpened,
    SeriesRefusal,
    WriteMetricsRequest,
)

RUN = "workspaces/space/runs/run"
METRICS = ("loss", "accuracy", "learning rate")
BATCH_BYTES = 1_000


@dataclass
class Life:
    """What an uplink does before it is killed."""

    value_count: int
    """How many values are logged meanwhile."""
    sent: list[str] = field(default_factory=list)
    """What becomes of each batch: it is lost, stored without anybody hearing of it, or acknowledged."""


lives = st.builds(Life, st.integers(0, 30), st.lists(st.sampled_from(["lost", "stored", "acknowledged"]), max_size=6))


@dataclass
class Server:
    """A server that keeps the protocol."""

    durable: int = 0
    stored: dict[str, list[float]] = field(default_factory=dict)

    def take(self, piece: Piece[WriteMetricsRequest]) -> None:
        batch = piece.request.batch
        assert batch.sequence <= self.durable + 1
        if batch.sequence == self.durable + 1:
            self.durable = batch.sequence
            for series in batch.series:
                self.stored.setdefault(series.metric, []).extend(series.doubles.values)

    def opened(self) -> MetricsOpened:
        return MetricsOpened(durable_sequence=self.durable, max_batch_bytes=BATCH_BYTES)


class Attendant:
    """Keeps what concerns it."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.damages: list[Damage] = []

    def take_record(self, record: Record) -> None:
        pass

    def take_damage(self, damage: Damage) -> None:
        self.damages.append(damage)

    def take_refusal(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)


@contextmanager
def uplink(spool: Path, attendant: Attendant) -> Iterator[tuple[MetricSource, ProgressFile]]:
    """A source as an uplink has it; in the end it is left as a kill leaves it."""
    reader, progress, doorbell = SpoolReader(spool), ProgressFile(progress_of(spool)), Doorbell()
    try:
        yield MetricSource(reader, progress, doorbell.bell(spool), attendant, gather_seconds=0.0), progress
    finally:
        doorbell.close()
        progress.close()
        reader.close()


def begin(folder: Path) -> SpoolWriter:
    return SpoolWriter(folder, RUN, "127.0.0.1:9")


@given(lives=st.lists(lives, max_size=8))
async def test_kills_and_lost_answers_lose_and_double_nothing(
    lives: list[Life], tmp_path_factory: pytest.TempPathFactory
) -> None:
    writer = begin(tmp_path_factory.mktemp("spool"))
    server, logged = Server(), 0
    for life in lives:
        with uplink(writer.path, Attendant()) as (source, _):
            logged = log(writer, logged, life.value_count)
            await live(source, server, life.sent, writer.position)
    logged = log(writer, logged, 1)
    writer.finish()
    with uplink(writer.path, Attendant()) as (source, progress):
        await live(source, server, ["acknowledged"] * 1_000, None)
        assert progress.progress.offset == writer.path.stat().st_size
    for index, metric in enumerate(METRICS):
        assert server.stored.get(metric, []) == [float(n) for n in range(logged) if n % len(METRICS) == index]


def log(writer: SpoolWriter, start: int, count: int) -> int:
    """Logs numbers to the metrics in turn; returns the next number."""
    for number in range(start, start + count):
        writer.add_double(METRICS[number % len(METRICS)], float(number), number, None)
    return start + count


async def live(source: MetricSource, server: Server, fates: list[str], size: int | None) -> None:
    """Sends batches until the fates are used up, or there is nothing to send."""
    await source._catch_up()
    source.opened(server.opened())
    for fate in fates:
        if size is not None and source._next > source._made and source._feed.position == size:
            return
        piece = await source.next()
        if piece is None or fate == "lost":
            return
        server.take(piece)
        if fate == "acknowledged":
            source.acknowledged(MetricsAcknowledged(durable_sequence=server.durable))


async def test_a_batch_is_the_same_when_it_is_made_again(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    log(writer, 0, 50)
    made = []
    for _ in range(2):
        with uplink(writer.path, Attendant()) as (source, _):
            await source._catch_up()
            source.opened(MetricsOpened(durable_sequence=0, max_batch_bytes=BATCH_BYTES))
            made.append([await source.next() for _ in range(3)])
            log(writer, 50, 50)
    first, second = made
    assert [piece.request for piece in first if piece] == [piece.request for piece in second if piece]
    writer.abandon()


async def test_a_batch_is_full_when_it_was_made_before_or_the_spool_has_enough_for_one(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    log(writer, 0, 1)
    with uplink(writer.path, Attendant()) as (source, _):
        await source._catch_up()
        source.opened(MetricsOpened(durable_sequence=0, max_batch_bytes=4 * BATCH_BYTES))
        assert not source.is_full
        await source.next()
        log(writer, 1, BATCH_BYTES)
        assert source.is_full
        while (source._reader.size - source._feed.position) >= BATCH_BYTES:
            await source.next()
        assert not source.is_full
        source.opened(MetricsOpened(durable_sequence=0, max_batch_bytes=4 * BATCH_BYTES))
        assert source.is_full
    writer.abandon()


async def test_a_server_that_has_more_than_was_sent_stops_the_writer(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    log(writer, 0, 10)
    with uplink(writer.path, Attendant()) as (source, _):
        await source._catch_up()
        with pytest.raises(Stopped) as caught:
            source.opened(MetricsOpened(durable_sequence=1, max_batch_bytes=BATCH_BYTES))
    assert caught.value.reason == "WRITER_DIVERGED"
    writer.abandon()


async def test_a_server_that_forgot_gets_the_latest_batches_again(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    log(writer, 0, 10)
    writer.finish()
    with uplink(writer.path, Attendant()) as (source, _):
        await live(source, Server(), ["acknowledged"] * 10, None)
    restored = Server()
    with uplink(writer.path, Attendant()) as (source, _):
        await live(source, restored, ["acknowledged"] * 10, None)
    assert sum(map(len, restored.stored.values())) == 10


async def test_refusals_are_told_before_the_batch_counts_as_done(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    log(writer, 0, 1)
    attendant = Attendant()
    with uplink(writer.path, attendant) as (source, progress):
        await source._catch_up()
        source.opened(Server().opened())
        await source.next()
        refusal = SeriesRefusal(sequence=1, metric="loss", reason="TOO_MANY_SERIES", message="no more", count=1)
        source.acknowledged(MetricsAcknowledged(durable_sequence=1, refusals=[refusal]))
        assert progress.progress.sequence == 1
    assert attendant.refusals == [Refusal("loss", "TOO_MANY_SERIES", "no more", 1)]
    writer.abandon()


async def test_a_record_that_no_batch_can_hold_is_refused_and_holds_up_nothing(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    log(writer, 0, 1)
    writer.add_list("nothing", NULL, 50_000, 0)
    log(writer, 1, 1)
    writer.finish()
    attendant, server = Attendant(), Server()
    with uplink(writer.path, attendant) as (source, _):
        await live(source, server, ["acknowledged"] * 10, None)
    assert server.stored == {METRICS[0]: [0.0], METRICS[1]: [1.0]}
    assert [(it.metric, it.reason, it.value_count) for it in attendant.refusals] == [
        ("nothing", "TOO_MANY_VALUES", 50_000)
    ]


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
async def test_a_flipped_bit_costs_one_record_and_is_reported(
    position: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    writer = begin(tmp_path_factory.mktemp("spool"))
    writer.add_double(METRICS[0], -1.0, 0, None)
    start = writer.position
    for number in range(100):
        writer.add_double(METRICS[0], float(number), number, None)
    end = writer.position
    writer.finish()
    flip(writer.path, start + position % (end - start), bit)
    attendant, server = Attendant(), Server()
    with uplink(writer.path, attendant) as (source, _):
        await live(source, server, ["acknowledged"] * 100, None)
    assert len(server.stored[METRICS[0]]) == 100
    assert [damage.end - damage.start for damage in attendant.damages] == [(end - start) // 100]


def flip(path: Path, position: int, bit: int) -> None:
    assert position >= RECORD_HEAD_BYTES
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 1 << bit]))


async def test_a_dead_writer_is_noticed_and_its_torn_tail_reported(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    log(writer, 0, 10)
    end = writer.position
    writer.abandon()
    with writer.path.open("r+b") as file:
        file.truncate(end - 3)
    attendant, server = Attendant(), Server()
    async with asyncio.timeout(20):
        with uplink(writer.path, attendant) as (source, _):
            await live(source, server, ["acknowledged"] * 100, None)
    assert sum(map(len, server.stored.values())) == 9
    assert [damage.end for damage in attendant.damages] == [end - 3]
