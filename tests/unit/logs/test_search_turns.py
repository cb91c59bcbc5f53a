"""Searches that wait for their turn say so."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from runstream_server.errors import Draining
from runstream_server.logs.search.model import RunPlace, SearchEnd, SearchMessage, SearchPlace, SearchQuery
from runstream_server.logs.search.patterns import Literal
from runstream_server.logs.search.searching import Searches

QUERY = SearchQuery("w", [], "", [], Literal(b"x"), 0, 0, 10, SearchPlace(RunPlace("", 3, "run"), "a.txt", 0, 1))


class HeldFiles:
    """No files, which nobody learns before it is released."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.released = asyncio.Event()

    async def files(self, _: SearchQuery) -> AsyncGenerator[tuple[RunPlace, None], None]:
        self.asked.set()
        await self.released.wait()
        for number in range(0):
            yield RunPlace("", number, "run"), None


async def search(searches: Searches, told: "asyncio.Queue[SearchMessage]") -> None:
    await searches.search(QUERY, told.put)


async def test_a_search_that_waits_says_so_and_is_answered_in_its_turn() -> None:
    files, first, second = HeldFiles(), asyncio.Queue[SearchMessage](), asyncio.Queue[SearchMessage]()
    searches = Searches(None, files, asyncio.Event(), at_once=1)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(search(searches, first))
        tasks.create_task(search(searches, second))

        waiting = await second.get()
        assert (waiting.found, waiting.place, waiting.searched_bytes, waiting.ended) == (None, QUERY.place, 0, None)
        assert first.empty()
        files.released.set()

    assert (await first.get()).ended is SearchEnd.COMPLETE
    assert (await second.get()).ended is SearchEnd.COMPLETE


async def test_a_search_that_gave_up_waiting_holds_nobody_up() -> None:
    files, told = HeldFiles(), asyncio.Queue[SearchMessage]()
    searches = Searches(None, files, asyncio.Event(), at_once=1)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(search(searches, asyncio.Queue()))
        waiting = tasks.create_task(search(searches, told))
        await told.get()
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        files.released.set()

    await search(searches, told)
    assert (await told.get()).ended is SearchEnd.COMPLETE


async def test_a_search_does_not_wait_on_a_server_that_drains() -> None:
    files, draining = HeldFiles(), asyncio.Event()
    searches = Searches(None, files, draining, at_once=1)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(search(searches, asyncio.Queue()))
        await files.asked.wait()
        draining.set()
        with pytest.raises(Draining):
            await search(searches, asyncio.Queue())
        files.released.set()
