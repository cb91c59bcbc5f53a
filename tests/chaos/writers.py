"""Writers that go through the client's own state machine of append streams, and keep histories."""

import random
from contextlib import closing
from pathlib import Path

import grpc

from runstream._channel.options import channel_options
from runstream._uplink.append import AppendStream, Piece
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from tests import stubs
from tests.chaos.history import History
from tests.chaos.pace import Pace
from tests.chaos.payloads import Payload

REPLAYED = 4
"""How many batches that are durable already may be sent again after a reconnect."""


class PayloadSource:
    """The batches of one writer; after each reconnect some that the server has already are sent again."""

    payload = Payload
    """Makes them."""

    def __init__(self, run: str, seed: int, writer: int, points: int, history: History, pace: Pace) -> None:
        self._run = run
        self._seed = seed
        self._writer = writer
        self._points = points
        self._history = history
        self._pace = pace
        self._random = random.Random(f"{seed} {writer}")
        self._sent = 0
        self._durable = 0
        self._next = 1

    def open(self) -> metrics.WriteMetricsRequest:
        """The first message."""
        digest = self._payload(self._durable).digest if self._durable else b""
        return metrics.WriteMetricsRequest(
            open=metrics.OpenMetrics(
                run=self._run,
                writer=writer_id(self._writer),
                durable_sequence=self._durable,
                durable_digest=digest,
            )
        )

    def opened(self, opened: metrics.MetricsOpened) -> None:
        """Goes on behind what the server has, which is all that it ever acknowledged."""
        self._note(opened.durable_sequence)
        self._next = max(1, self._durable + 1 - self._random.randrange(REPLAYED))

    @property
    def is_full(self) -> bool:
        """Always: a piece has its size, and many are to be under way."""
        return True

    async def next(self) -> Piece[metrics.WriteMetricsRequest] | None:
        """The next batch."""
        if self._next > self._pace.batches:
            return None
        await self._pace.may_send(self._next)
        payload = self._payload(self._next)
        self._history.intend(payload.sequence, payload.digest)
        self._sent = max(self._sent, payload.sequence)
        self._next += 1
        request = metrics.WriteMetricsRequest(batch=payload.batch())
        return Piece(request, payload.sequence, request.ByteSize())

    def acknowledged(self, acknowledged: metrics.MetricsAcknowledged) -> int:
        """Notes what became durable."""
        self.check_refusals(list(acknowledged.refusals))
        self._note(acknowledged.durable_sequence)
        return acknowledged.durable_sequence

    def check_refusals(self, refusals: list[metrics.SeriesRefusal]) -> None:
        """Asserts that nothing was refused."""
        assert not refusals, refusals

    def finish(self) -> metrics.WriteMetricsRequest:
        """The last message."""
        return metrics.WriteMetricsRequest(finish=metrics.FinishMetrics())

    def _note(self, durable: int) -> None:
        assert self._durable <= durable <= self._sent, (
            f"writer {self._writer}: {durable} batches are durable, said the server, after it had acknowledged"
            f" {self._durable}, of {self._sent} that were sent"
        )
        self._durable = durable
        self._history.acknowledge(durable)
        self._pace.acknowledge(self._writer, durable)

    def _payload(self, sequence: int) -> Payload:
        return self.payload(self._seed, self._writer, sequence, self._points)


def writer_id(writer: int) -> str:
    """The id of a writer."""
    return f"writer-{writer}"


async def write(
    address: str,
    run: str,
    seed: int,
    writer: int,
    points: int,
    folder: Path,
    pace: Pace,
    kind: type[PayloadSource] = PayloadSource,
) -> None:
    """Sends all batches of one writer over a channel of its own; returns when they are acknowledged.

    The history file is `WRITER.history` in `folder`.
    """
    with closing(History(history_of(folder, writer))) as history:
        source = kind(run, seed, writer, points, history, pace)
        async with grpc.aio.insecure_channel(address, options=channel_options(address)) as channel:
            await AppendStream(stubs.metrics(channel).WriteMetrics, source, channel).run()


def history_of(folder: Path, writer: int) -> Path:
    """The history file of a writer."""
    return folder / f"{writer}.history"
