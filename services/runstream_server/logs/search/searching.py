"""Runs searches."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from time import monotonic
from typing import TypeAlias

from runstream_server.errors import DeadlineExceeded, Draining
from runstream_server.logs.model import LogFile
from runstream_server.logs.search.ahead import ahead, in_threads
from runstream_server.logs.search.files import SearchedFiles
from runstream_server.logs.search.lines import LineSearch
from runstream_server.logs.search.model import (
    FoundMatches,
    Match,
    RunPlace,
    SearchEnd,
    SearchMessage,
    SearchPlace,
    SearchQuery,
)
from runstream_server.logs.search.scanning import ScannedText, scanned
from runstream_server.logs.source import LogSource, Reading

Tell: TypeAlias = Callable[[SearchMessage], Awaitable[None]]

_SEARCHES_AT_ONCE = 4
_SECONDS = 60.0
_LONGEST_SECONDS = 120.0
_SECONDS_BETWEEN_MESSAGES = 5.0
_READING = Reading(page_bytes=4 * 1024 * 1024, with_lines=False, in_one_go=True)
_PAGES_AHEAD = 2
_SCANNED_AT_ONCE = 2
_MESSAGE_BYTES = 512 * 1024
_MESSAGE_MATCHES = 1_000


class Searches:
    """Searches for some callers at once; others wait."""

    def __init__(
        self, source: LogSource, files: SearchedFiles, draining: asyncio.Event, *, at_once: int = _SEARCHES_AT_ONCE
    ) -> None:
        self._source = source
        self._files = files
        self._draining = draining
        self._room = asyncio.Semaphore(at_once)

    async def search(self, query: SearchQuery, tell: Tell) -> None:
        """Searches, and tells what it finds and how far it is, until it ends; while it waits, that it found nothing.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            InvalidFilter: The filter is wrong.
            StoredBytesDamaged: Text is missing, or not what was stored.
            DeadlineExceeded: The caller does not take in what it is told.
        """
        async with self._turn(query, tell):
            try:
                async with asyncio.timeout(_LONGEST_SECONDS):
                    await _Search(self._source, self._files, query, tell, self._draining).run()
            except TimeoutError:
                raise DeadlineExceeded from None

    @asynccontextmanager
    async def _turn(self, query: SearchQuery, tell: Tell) -> AsyncIterator[None]:
        """Waits for room, and says now and then that it still waits."""
        entering = asyncio.create_task(self._room.acquire(), name="search-waits")
        try:
            done, _ = await asyncio.wait([entering], timeout=0)
            while not done:
                if self._draining.is_set():
                    raise Draining
                await tell(SearchMessage(None, query.place, 0))
                done, _ = await asyncio.wait([entering], timeout=_SECONDS_BETWEEN_MESSAGES)
            yield
        finally:
            if not entering.cancel():
                self._room.release()


class _Search:
    """One search."""

    def __init__(
        self, source: LogSource, files: SearchedFiles, query: SearchQuery, tell: Tell, draining: asyncio.Event
    ) -> None:
        self._source = source
        self._files = files
        self._query = query
        self._tell = tell
        self._draining = draining
        self._begun = self._told = monotonic()
        self._place = query.place
        self._searched_bytes = 0
        self._left = query.max_matches

    async def run(self) -> None:
        ended = SearchEnd.COMPLETE
        async with aclosing(self._files.files(self._query)) as files:
            async for run, file in files:
                reason = await self._search_file(run, file) if file is not None else await self._pass_runs(run)
                if reason is not None:
                    ended = reason
                    break
        await self._tell(SearchMessage(None, self._place, self._searched_bytes, ended))

    async def _pass_runs(self, following: RunPlace) -> SearchEnd | None:
        """Notes that all runs before one were searched; returns why the search ends with them, if it does."""
        self._place = SearchPlace(following, "", 0, 1)
        return SearchEnd.TIME if await self._pause() else None

    async def _search_file(self, run: RunPlace, file: LogFile) -> SearchEnd | None:
        """Searches one file; returns why the search ends with it, if it does."""
        query, begin = self._query, self._begin(run, file)
        first_line = max(begin.line - query.lines_before, 1)
        start = await self._source.offset_after_line_feed(file, first_line - 1) if begin.offset else 0
        lines = LineSearch(
            query.pattern,
            query.lines_before,
            query.lines_after,
            offset=start,
            line=first_line,
            search_offset=begin.offset,
        )
        async with aclosing(self._texts(file, start)) as texts:
            async for text in texts:
                if text.may_match or not lines.pass_over(text.parts, text.line_feeds):
                    found = await asyncio.to_thread(lines.feed, text.parts)
                    if await self._tell_matches(run, file, found):
                        return SearchEnd.MATCHES
                self._searched_bytes += text.size_bytes
                self._place = SearchPlace(run, file.path, *lines.place)
                if await self._pause():
                    return SearchEnd.TIME
        return SearchEnd.MATCHES if await self._tell_matches(run, file, lines.close()) else None

    def _begin(self, run: RunPlace, file: LogFile) -> SearchPlace:
        place = self._query.place
        if place is not None and (place.run, place.path) == (run, file.path):
            return place
        return SearchPlace(run, file.path, 0, 1)

    def _texts(self, file: LogFile, start: int) -> AsyncGenerator[ScannedText, None]:
        """Yields the text of a file from `start` on, which is the beginning of a line."""
        pages = self._source.pages(file, start, file.size_bytes, _READING)
        scan = partial(scanned, start=start, pattern=self._query.pattern)
        return in_threads(ahead(pages, _PAGES_AHEAD), scan, _SCANNED_AT_ONCE)

    async def _tell_matches(self, run: RunPlace, file: LogFile, found: Iterator[Match]) -> bool:
        """Tells what was found; returns whether that is enough."""
        while self._left and (matches := await asyncio.to_thread(_take, found, self._left)):
            self._left -= len(matches)
            self._place = SearchPlace(run, file.path, *matches[-1].next_place)
            marks = await self._source.marks(file, matches[0].first_offset, matches[-1].last_offset)
            found_matches = FoundMatches(file, matches, marks)
            await self._say(SearchMessage(found_matches, self._place, self._searched_bytes))
        return not self._left

    async def _pause(self) -> bool:
        """Says how far the search is, now and then; returns whether it takes too long."""
        if self._draining.is_set():
            raise Draining
        if monotonic() - self._told >= _SECONDS_BETWEEN_MESSAGES:
            await self._say(SearchMessage(None, self._place, self._searched_bytes))
        return monotonic() - self._begun >= _SECONDS

    async def _say(self, message: SearchMessage) -> None:
        await self._tell(message)
        self._told = monotonic()


def _take(found: Iterator[Match], most: int) -> Sequence[Match]:
    """The next matches, as many as a message takes."""
    matches: list[Match] = []
    size = 0
    for match in found:
        matches.append(match)
        size += match.size_bytes
        if size >= _MESSAGE_BYTES or len(matches) >= min(most, _MESSAGE_MATCHES):
            break
    return matches
