"""What a stream has in flight, and what it still has to tell its client."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from runstream_server.appendstreams.model import Committed, Notice, Refusal

REFUSALS_AT_ONCE = 2_000
"""How many refusals one acknowledgement carries, so that any client can receive it."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What is durable, and what was refused since the last acknowledgement."""

    durable: int
    refusals: Sequence[Refusal]

    covered_count: int
    """How many pieces stop being in flight when this is written."""

    covered_bytes: int


class Progress:
    """Collects acknowledgements and notices until they are written; acknowledgements are cumulative and merge.

    What was read counts as in flight until its acknowledgement is written, so neither data nor refusals pile up for a
    client that does not listen.
    """

    def __init__(self, max_in_flight_bytes: int) -> None:
        self._durable = 0
        self._told_durable = 0
        self._limit = max_in_flight_bytes
        self._in_flight_count = 0
        self._in_flight_bytes = 0
        self._committed_count = 0
        self._committed_bytes = 0
        self._refusals: list[Refusal] = []
        self._to_acknowledge = False
        self._notices: list[Notice] = []
        self._closed = False
        self._news = asyncio.Event()
        self._written = asyncio.Event()

    def begin(self, durable: int) -> None:
        """Sets where the stream begins."""
        self._durable = self._told_durable = durable

    def take(self, size_bytes: int) -> None:
        """Counts something that was read."""
        self._in_flight_count += 1
        self._in_flight_bytes += size_bytes

    def commit(self, outcome: Committed, size_bytes: int) -> None:
        """Notes that something taken is durable."""
        self._durable = max(self._durable, outcome.durable)
        self._refusals.extend(outcome.refusals)
        self._committed_count += 1
        self._committed_bytes += size_bytes
        self.repeat()

    def repeat(self) -> None:
        """Acknowledges again, in answer to something that was durable before it came."""
        self._to_acknowledge = True
        self._news.set()

    def notice(self, notice: Notice) -> None:
        """Adds a notice, unless it waits to be written already."""
        if notice not in self._notices:
            self._notices.append(notice)
            self._news.set()

    def close(self) -> None:
        """Says that nothing more will come."""
        self._closed = True
        self._news.set()
        self._written.set()

    async def news(self) -> bool:
        """Waits for something to write; returns False when there is nothing and nothing will come."""
        while not (self._to_acknowledge or self._notices):
            if self._closed:
                return False
            self._news.clear()
            await self._news.wait()
        return True

    def take_notices(self) -> Sequence[Notice]:
        """Hands out the notices."""
        notices, self._notices = self._notices, []
        return notices

    def take_acknowledgement(self) -> Acknowledgement | None:
        """Hands out what to acknowledge, if anything.

        Of many refusals the first ones come ahead, with the durable position told before: what a client takes for
        durable it is not told of again.
        """
        if not self._to_acknowledge:
            return None
        if len(self._refusals) > REFUSALS_AT_ONCE:
            first, self._refusals = self._refusals[:REFUSALS_AT_ONCE], self._refusals[REFUSALS_AT_ONCE:]
            return Acknowledgement(self._told_durable, first, 0, 0)
        taken = Acknowledgement(self._durable, self._refusals, self._committed_count, self._committed_bytes)
        self._refusals, self._committed_count, self._committed_bytes = [], 0, 0
        self._to_acknowledge = False
        self._told_durable = self._durable
        return taken

    def written(self, acknowledgement: Acknowledgement) -> None:
        """Notes that an acknowledgement was written."""
        self._in_flight_count -= acknowledgement.covered_count
        self._in_flight_bytes -= acknowledgement.covered_bytes
        self._written.set()

    async def room(self) -> None:
        """Waits until the client may send more."""
        while self._in_flight_bytes >= self._limit:
            self._written.clear()
            await self._written.wait()

    async def settled(self) -> None:
        """Waits until everything taken is acknowledged, or will not be."""
        while self._in_flight_count and not self._closed:
            self._written.clear()
            await self._written.wait()
