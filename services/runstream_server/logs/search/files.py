"""In which order runs and their files are searched, from any place on."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from runstream_server.logs.model import LogFile
from runstream_server.logs.search.model import RunPage, RunPlace, SearchQuery
from runstream_server.logs.store import LogStore
from runstream_server.names import WorkspaceName
from runstream_server.runhistory import RunHistory

_FILES_AT_ONCE = 200
_RUNS_AT_ONCE = 100


class SearchedFiles:
    """Finds the files of a search."""

    def __init__(
        self,
        store: LogStore,
        history: RunHistory,
        *,
        files_at_once: int = _FILES_AT_ONCE,
        runs_at_once: int = _RUNS_AT_ONCE,
    ) -> None:
        self._store = store
        self._history = history
        self._files_at_once = files_at_once
        self._runs_at_once = runs_at_once

    async def files(self, query: SearchQuery) -> AsyncGenerator[tuple[RunPlace, LogFile | None], None]:
        """Yields the files from the place of the query on, in order, with the place of their run.

        After a page of runs there comes the place of the next one, without a file: many runs may have none.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            InvalidFilter: The filter is wrong.
        """
        begin = query.place.run if query.place is not None else RunPlace("", 0, "")
        path = query.place.path if query.place is not None else ""
        async with aclosing(self._pages(query, begin.page)) as pages:
            async for page in pages:
                first = begin.index if page.token == begin.page else 0
                goes_on = page.token == begin.page and _has(page, begin)
                async with aclosing(self._files_of(query, page, first, path if goes_on else "")) as files:
                    async for each in files:
                        yield each
                if page.next_token:
                    yield RunPlace(page.next_token, 0, ""), None

    async def _pages(self, query: SearchQuery, token: str) -> AsyncGenerator[RunPage, None]:
        if query.runs:
            for start in range(int(token or 0), len(query.runs), self._runs_at_once):
                after = start + self._runs_at_once
                following = str(after) if after < len(query.runs) else ""
                yield RunPage(str(start) if start else "", query.runs[start:after], following)
            return
        more = True
        while more:
            names, following = await self._history.list_runs(
                WorkspaceName(query.workspace), query.filter, token, self._runs_at_once
            )
            yield RunPage(token, names, following)
            token, more = following, bool(following)

    async def _files_of(
        self, query: SearchQuery, page: RunPage, first: int, path: str
    ) -> AsyncGenerator[tuple[RunPlace, LogFile], None]:
        """Yields the files of the runs of a page, of the first one those from a path on."""
        runs = page.runs[first:]
        places = page.places()
        begin, with_begin, more = (0, path), True, bool(runs)
        while more:
            files = await self._store.files_of_runs(
                runs, query.paths, begin, self._files_at_once, with_begin=with_begin
            )
            for file in files:
                yield places[file.run], file
            more = len(files) == self._files_at_once
            if more:
                begin, with_begin = (runs.index(files[-1].run), files[-1].path), False


def _has(page: RunPage, place: RunPlace) -> bool:
    """Whether a run is still where it was."""
    return place.index < len(page.runs) and page.runs[place.index].run == place.run
