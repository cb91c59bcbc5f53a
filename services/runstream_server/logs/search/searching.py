"""Runs searches."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from time import monotonic
from typing import NamedTuple, TypeAlias

from runstream_server.errors import DeadlineExceeded, Draining
from runstream_server.logs.model import LogFile
from runstream_server.logs.pages import Page, Part
from runstream_server.logs.search.ahead import ahead
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
from runstream_server.logs.source import LogSource, Reading

Tell: TypeAlias = Callable[[SearchMessage], Awaitable[None]]

_SEARCHES_AT_ONCE = 4
_SECONDS = 60.0
_LONGEST_SECONDS = 120.0
_SECONDS_BETWEEN_MESSAGES = 5.0
_READ_BYTES = 16 * 1024 * 1024
_SEARCHED_BYTES = 2 * 1024 * 1024
_MESSAGE_BYTES = 512 * 1024
_MESSAGE_MATCHES = 1_000


class _Text(NamedTuple):
    """Consecutive text, in the parts in which it was stored."""

    parts: Sequence[bytes]
    size_bytes: int


class Searches:
    """Searches for some callers at once; others wait."""

    def __init__(self, source: LogSource, files: SearchedFiles, draining: asyncio.Event) -> None:
        self._source = source
        self._files = files
        self._draining = draining
        self._room = asyncio.Semaphore(_SEARCHES_AT_ONCE)

    async def search(self, query: SearchQuery, tell: Tell) -> None:
        """Searches, and tells what it finds and how far it is, until it ends.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            InvalidFilter: The filter is wrong.
            StoredBytesDamaged: Text is missing, or not what was stored.
            DeadlineExceeded: The caller does not take in what it is told.
        """
        async with self._room:
            try:
                async with asyncio.timeout(_LONGEST_SECONDS):
                    await _Search(self._source, self._files, query, tell, self._draining).run()
            except TimeoutError:
                raise DeadlineExceeded from None


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
        async with aclosing(ahead(self._texts(file, start))) as texts:
            async for text in texts:
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

    async def _texts(self, file: LogFile, start: int) -> AsyncGenerator["_Text", None]:
        """Yields the text of a file from `start` on, about 2 MiB at a time."""
        pages = ahead(self._source.pages(file, start, file.size_bytes, Reading(_READ_BYTES, with_lines=False)))
        async with aclosing(pages):
            async for page in pages:
                for parts in _pieces(page):
                    yield await asyncio.to_thread(_decoded, parts, start)

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


def _pieces(page: Page) -> Iterator[Sequence[Part]]:
    """The parts of a page, about 2 MiB of text at a time."""
    piece: list[Part] = []
    for part in page.parts:
        piece.append(part)
        if part.end_offset - piece[0].start_offset >= _SEARCHED_BYTES:
            yield piece
            piece = []
    if piece:
        yield piece


def _decoded(parts: Sequence[Part], start: int) -> "_Text":
    """The text of parts, without what is before `start`."""
    first = max(start - parts[0].start_offset, 0)
    decoded = [part.decode() for part in parts]
    decoded[0] = decoded[0][first:] if first else decoded[0]
    return _Text(decoded, parts[-1].end_offset - parts[0].start_offset - first)


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
