"""Follows the children of a run."""

import asyncio
from typing import Any, Final

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core import _filters as filters
from runstream.core._lasting import lasting
from runstream.core._run.listing import NEWEST_FIRST
from runstream.core._run.watching import watch_runs
from runstream.core._status import TERMINAL, status_name
from runstream.widgets._picture import CHILD_RUNS, Picture, child_section

MAX_CHILDREN: Final = 100
PAUSE_SECONDS: Final = 1.0
"""Between two readings at least."""

REFRESH_SECONDS: Final = 5.0
"""How often metrics of children that go on are read: no stream tells of them."""


class ChildRuns:
    """The 100 newest children, each with the last values of its metrics. Read again when the watch says so."""

    def __init__(self, run: Any, picture: Picture, ended: asyncio.Event) -> None:
        self._run = run
        self._picture = picture
        self._ended = ended
        self._filter = filters.equals("parent", run.id)
        self._hint = asyncio.Event()
        self._is_busy = False

    async def load(self) -> None:
        """Reads them."""
        connection = self._run._connection()
        request = api.ListRunsRequest(
            parent=self._run._workspace._record.name,
            filter=self._filter,
            order_by=NEWEST_FIRST,
            page_size=MAX_CHILDREN,
            view=run_pb2.RUN_VIEW_FULL,
        )
        page = await connection.call(connection.runs.ListRuns, request)
        self._is_busy = any(status_name(child.status) not in TERMINAL for child in page.runs)
        children = [child_section(child) for child in page.runs]
        self._picture.put(CHILD_RUNS, {"runs": children, "more": bool(page.next_page_token)})

    async def follow(self) -> None:
        """Reads them whenever something changes, until the run has ended."""
        watching = asyncio.create_task(self._watch(), name="runstream-widget-children")
        try:
            while not self._ended.is_set():
                self._hint.clear()
                await lasting(self.load)
                await self._wait(watching)
            await lasting(self.load)
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        request = api.WatchRunsRequest(parent=self._run._workspace._record.name, filter=self._filter)
        async for _ in watch_runs(self._run._connection, request, lambda is_heard: self._hint.set()):
            self._hint.set()

    async def _wait(self, watching: "asyncio.Task[None]") -> None:
        """Waits until it is time to read again; raises what the watch was stopped by."""
        ended = asyncio.ensure_future(self._ended.wait())
        hint = asyncio.ensure_future(self._hint.wait())
        try:
            await asyncio.wait({ended}, timeout=PAUSE_SECONDS)
            longest = REFRESH_SECONDS if self._is_busy else None
            await asyncio.wait({ended, hint, watching}, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            hint.cancel()
        if watching.done():
            watching.result()
