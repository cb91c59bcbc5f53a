"""What is made ahead comes in order, in bounds, and with its errors."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import pairwise
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.logs.search.ahead import ahead, in_threads
from runstream_server.objectstore import in_sizes


class Numbers:
    """Yields numbers from 0 on, and knows how many were asked for."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.made = 0
        self.closed = False
        self._more = asyncio.Event()
        self._count = count
        self._error = error

    async def __call__(self) -> AsyncGenerator[int, None]:
        try:
            while self.made < self._count:
                self.made += 1
                self._more.set()
                yield self.made - 1
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True

    async def reach(self, count: int) -> None:
        """Returns when so many were asked for."""
        while self.made < count:
            self._more.clear()
            await self._more.wait()


async def test_items_come_in_order_and_no_more_are_made_than_allowed() -> None:
    numbers = Numbers(10)
    async with aclosing(ahead(numbers(), 2)) as items:
        for number in range(10):
            assert await anext(items) == number
            await numbers.reach(min(number + 4, 10))
            assert numbers.made == min(number + 4, 10)


async def test_an_error_comes_after_what_was_made_before_it() -> None:
    items = ahead(Numbers(2, ValueError("broken"))(), 5)

    assert [await anext(items), await anext(items)] == [0, 1]
    with pytest.raises(ValueError, match="broken"):
        await anext(items)


async def test_who_stops_taking_closes_what_makes() -> None:
    numbers = Numbers(100)
    async with aclosing(ahead(numbers(), 1)) as items:
        await anext(items)

    assert numbers.closed


async def test_threads_work_at_once_and_their_results_come_in_order() -> None:
    second = Event()

    def work(number: int) -> int:
        if number == 0:
            assert second.wait(10)
        if number == 1:
            second.set()
        return number * 10

    assert [item async for item in in_threads(Numbers(5)(), work, 2)] == [0, 10, 20, 30, 40]


async def test_an_error_in_a_thread_ends_the_work() -> None:
    numbers = Numbers(10)
    with pytest.raises(ZeroDivisionError):
        await anext(in_threads(numbers(), lambda number: 1 // number, 1))

    assert numbers.closed


@given(chunks=st.lists(st.binary(max_size=5), max_size=8), data=st.data())
async def test_chunks_become_pieces_of_the_sizes_asked_for(chunks: Sequence[bytes], data: st.DataObject) -> None:
    whole = b"".join(chunks)
    edges = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=4))})
    sizes = [end - start for start, end in pairwise(edges)]

    async def come() -> AsyncGenerator[bytes, None]:
        for chunk in chunks:
            yield chunk

    pieces = [piece async for piece in in_sizes(come(), sizes)]

    assert [len(piece) for piece in pieces] == sizes
    assert b"".join(pieces) == whole
