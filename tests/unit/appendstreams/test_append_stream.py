"""A stream whose client does not listen: what it was not told is bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from runstream_server.appendstreams import (
    Append,
    AppendKey,
    AppendLimits,
    AppendStream,
    Committed,
    Finish,
    Notice,
    Opening,
    Outcome,
    Piece,
    Prepared,
    Refusal,
    append_hub,
)
from runstream_server.errors import ProtocolError, RunstreamError
from runstream_server.names import RunName
from runstream_server.runhistory import RunFacts
from tests.conditions import SECONDS, until

KEY = AppendKey("space", "run", "writer")
SENT_BYTES = 100
LIMIT = 10_000
MANY = 100
REFUSALS = 50
"""Of each message: told in words, they take much more memory than what was sent."""


class Client:
    """Sends small messages without end, each when the one before is committed, and takes in so many answers."""

    received_bytes = SENT_BYTES

    def __init__(self, hears: int) -> None:
        self.sent = 0
        self.many_sent = asyncio.Event()
        self._committed = asyncio.Event()
        self._hears = hears

    async def read(self) -> int:
        if self.sent > 1:  # the first one opens the stream
            await self._committed.wait()
            self._committed.clear()
        self.sent += 1
        if self.sent == MANY:
            self.many_sent.set()
        return self.sent - 1

    async def commit(self, appends: Sequence[Append[None]]) -> Sequence[Outcome]:
        self._committed.set()
        return [Committed(each.end, each.refusals) for each in appends]

    async def write(self, _message: object) -> None:
        self._hears -= 1
        if self._hears < 0:
            await asyncio.Event().wait()


class RefusingDialect:
    """Refuses everything."""

    def run(self, _message: object) -> RunName:
        return KEY.run_name

    async def open(self, _message: object) -> Opening:
        return Opening(KEY, 1, 0)

    def decode(self, message: int, size_bytes: int) -> Piece[None] | Finish:
        return Piece(message - 1, message, size_bytes, None)

    async def prepare(self, piece: Piece[None], _skip: int) -> Prepared[None]:
        refusals = [Refusal(piece.end, "m", "REASON", "why", 1)] * REFUSALS
        return Prepared(None, REFUSALS * SENT_BYTES, refusals)

    def gap(self, expected: int) -> RunstreamError:
        return ProtocolError(str(expected))

    def opened(self, durable: int, _limits: AppendLimits) -> int:
        return durable

    def acknowledged(self, durable: int, _refusals: Sequence[Refusal]) -> int:
        return durable

    def notice(self, notice: Notice) -> Notice:
        return notice


class Watch:
    """Knows one run."""

    @asynccontextmanager
    async def following(self, run: RunName, _follower: Callable[[RunFacts], None]) -> AsyncIterator[RunFacts]:
        yield RunFacts(run, None, cancel_requested=False)


@asynccontextmanager
async def served(client: Client) -> AsyncIterator[AppendStream[None]]:
    """The stream of a client."""
    limits = AppendLimits(max_in_flight_bytes=LIMIT, pace_seconds=0)
    watch: Any = Watch()
    context: Any = client
    async with append_hub("unit", client.commit, limits=limits, watch=watch, draining=asyncio.Event()) as hub:
        stream = AppendStream(context, RefusingDialect(), hub)
        serving = asyncio.create_task(stream.serve())
        yield stream
        serving.cancel()
        await asyncio.wait([serving])


async def test_refusals_for_a_client_that_does_not_listen_are_bounded() -> None:
    client = Client(hears=1)
    async with served(client) as stream:
        await until(lambda: stream._progress._in_flight_bytes >= LIMIT)

    assert client.sent <= 2 + LIMIT // (REFUSALS * SENT_BYTES)


async def test_a_client_that_listens_goes_on() -> None:
    client = Client(hears=10_000)
    async with served(client), asyncio.timeout(SECONDS):
        await client.many_sent.wait()
