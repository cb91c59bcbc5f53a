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

    def __init__(self, store: LogStore, history: RunHistory) -> None:
        self._store = store
        self._history = history

    async def files(self, query: SearchQuery) -> AsyncGenerator[tuple[RunPlace, LogFile], None]:
        """Yields the files from the place of the query on, in order, with the place of their run.

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

    async def _pages(self, query: SearchQuery, token: str) -> AsyncGenerator[RunPage, None]:
        if query.runs:
            for start in range(0, len(query.runs), _RUNS_AT_ONCE):
                if start >= int(token or 0):
                    after = str(start + _RUNS_AT_ONCE)
                    yield RunPage(str(start) if start else "", query.runs[start : start + _RUNS_AT_ONCE], after)
            return
        more = True
        while more:
            names, following = await self._history.list_runs(
                WorkspaceName(query.workspace), query.filter, token, _RUNS_AT_ONCE
            )
            yield RunPage(token, names, following)
            token, more = following, bool(following)

    async def _files_of(
        self, query: SearchQuery, page: RunPage, first: int, path: str
    ) -> AsyncGenerator[tuple[RunPlace, LogFile], None]:
        """Yields the files of the runs of a page, of the first one those from a path on."""
        runs = page.runs[first:]
        places = page.places()
        after, found = (0, path), True
        while found and runs:
            files = await self._store.files_of_runs(runs, query.paths, after, _FILES_AT_ONCE)
            for file in files:
                yield places[file.run], file
            found = len(files) == _FILES_AT_ONCE
            if files:
                after = (runs.index(files[-1].run), files[-1].path + "\0")


def _has(page: RunPage, place: RunPlace) -> bool:
    """Whether a run is still where it was."""
    return place.index < len(page.runs) and page.runs[place.index].run == place.run
