"""Lists runs page by page."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from runstream_server.postgres import Postgres
from runstream_server.runs.limits import PAGE_BYTES
from runstream_server.runs.model import Run
from runstream_server.runs.store.columns import run_bytes, run_of
from runstream_server.runs.store.walks import Listing, Place, statement

_CHUNK = 51


@dataclass(frozen=True)
class Page:
    """Runs in order, each with its place."""

    runs: Sequence[tuple[Run, Place]]
    has_more: bool


class ListingStore:
    """Lists runs."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def page(self, listing: Listing, after: Place | None, limit: int) -> Page:
        """Returns the runs behind a place: up to `limit`, fewer once they take more than a page may."""
        reader = _Reader(self._postgres, limit + 1)
        if after is None or not after.without_metric:
            await reader.read(listing, after, without_metric=False)
            after = None
        if listing.metric is not None and not reader.is_full:
            await reader.read(listing, after, without_metric=True)
        return Page(reader.found[:limit], reader.is_full)


class _Reader:
    """Reads until there are enough runs, or they take too much."""

    def __init__(self, postgres: Postgres, wanted: int) -> None:
        self._postgres = postgres
        self._wanted = wanted
        self._room = PAGE_BYTES
        self.found: list[tuple[Run, Place]] = []

    @property
    def is_full(self) -> bool:
        return len(self.found) >= self._wanted or self._room <= 0

    async def read(self, listing: Listing, after: Place | None, *, without_metric: bool) -> None:
        missing = self._wanted - len(self.found)
        query, arguments = statement(listing, after, missing, without_metric=without_metric)
        if missing <= _CHUNK:
            self._add(await self._postgres.fetch(query, *arguments), without_metric)
            return
        async with self._postgres.transaction() as connection:
            cursor = await connection.cursor(query, *arguments)
            while not self.is_full and (rows := await cursor.fetch(_CHUNK)):
                self._add(rows, without_metric)

    def _add(self, rows: Sequence[asyncpg.Record], without_metric: bool) -> None:
        for row in rows:
            if self._room > 0:
                run = run_of(row)
                self._room -= run_bytes(run)
                self.found.append((run, Place(without_metric, row["order_value"], run.create_time, run.run)))
