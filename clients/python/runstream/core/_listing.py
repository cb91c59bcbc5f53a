"""Lazy listings."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from runstream._channel import loop
from runstream.exceptions import AzureMLException

T = TypeVar("T")

Fetch = Callable[[str], Coroutine[Any, Any, tuple[list[T], str]]]
"""Gets the page that a token stands for, and the token of the next page; empty: there is none."""

SHOWN = 3


class Listing(Generic[T]):
    """An iterator over something the service lists, page by page as it is used up.

    It has no length: use `list(...)` to have everything. Printing it shows what it lists and its first items, and uses
    up nothing. In asynchronous programs it is used by `async for`.
    """

    def __init__(self, title: str, fetch: Fetch[T], show: Callable[[T], str], limit: int | None = None) -> None:
        self._title = title
        self._fetch = fetch
        self._show = show
        self._left = limit
        self._page: deque[T] = deque()
        self._token: str | None = ""

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if not self._has_more():
            raise StopIteration
        if not self._page:
            loop.run(self._fill())
        return self._take(StopIteration)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._has_more():
            await self._fill()
        return self._take(StopAsyncIteration)

    def __repr__(self) -> str:
        shown = [self._show(item) for item in list(self._page)[:SHOWN]] if self._peek() else ["..."]
        more = ["..."] if len(self._page) > SHOWN else []
        return f"<{self._title}: {', '.join([*shown, *more]) or 'none'}>"

    def _has_more(self) -> bool:
        return self._left != 0 and (bool(self._page) or self._token is not None)

    def _take(self, end: type[Exception]) -> T:
        if not self._has_more() or not self._page:
            raise end
        if self._left is not None:
            self._left -= 1
        return self._page.popleft()

    async def _fill(self) -> None:
        while not self._page and self._token is not None:
            items, following = await self._fetch(self._token)
            self._page.extend(items)
            self._token = following or None

    def _peek(self) -> bool:
        """Has the present page at hand, unless the service or an event loop under way forbids it."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            return bool(self._page) or self._token is None
        try:
            loop.run(self._fill())
        except AzureMLException:
            return False
        return True
