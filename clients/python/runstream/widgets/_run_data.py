"""Gathers what a widget shows of one run, from the streams of the services."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core._lasting import going_on, lasting, stop_reason
from runstream.core._run.watching import watch_runs
from runstream.core._status import TERMINAL, status_name
from runstream.exceptions import AzureMLException
from runstream.widgets._charts import Charts
from runstream.widgets._child_runs import ChildRuns
from runstream.widgets._logs import LogView
from runstream.widgets._picture import (
    AWAY,
    CHARTS,
    CHILD_RUNS,
    ENDED,
    FAILED,
    LINK,
    LIVE,
    LOG_TAIL,
    RECORD,
    Picture,
    Section,
    record_section,
)

BEAT_SECONDS: Final = 10.0
"""How often the widget is told that all is well when nothing happens."""

LATE_SECONDS: Final = 15.0
"""How long after the end of the run what is still to come is waited for."""

BYTES_PER_SECOND: Final = 512 * 1024
"""How much is sent to the page on average: fifty full charts come every 1.6 s instead of four times a second."""

Show = Callable[[dict[str, Section]], None]
"""Takes sections that changed."""


class RunData:
    """What is known of a run of the services. It belongs to one event loop."""

    def __init__(self, run: Any, seconds: float) -> None:
        """`seconds` are between two updates at least."""
        self._run = run
        self._seconds = seconds
        self._picture = Picture()
        self._ended = asyncio.Event()
        self._problems: dict[str, str] = {}
        self._charts = Charts(run, self._picture)
        self._log = LogView(run, self._picture, self._ended)
        self._children = ChildRuns(run, self._picture, self._ended)
        self._put_record(run._record)

    async def load(self) -> dict[str, Section]:
        """Reads everything once; what cannot be read is left out, and the link says why."""
        try:
            self._put_record(await self._read_record())
            for load in (self._charts.load, self._log.load, self._children.load):
                await load()
            self._picture.link(ENDED if self._is_over() else LIVE)
        except AzureMLException as error:
            self._picture.link(FAILED, error.message)
        return self.sections()

    async def follow(self, show: Show) -> None:
        """Gathers and shows until the run has ended and all of it was shown."""
        showing = asyncio.create_task(self._show(show), name="runstream-widget-show")
        parts = {CHARTS: self._charts.follow, LOG_TAIL: self._log.follow, CHILD_RUNS: self._children.follow}
        tasks = [asyncio.create_task(self._going_on(name, parts[name]), name="runstream-widget") for name in parts]
        tasks.append(asyncio.create_task(self._follow_record(), name="runstream-widget"))
        try:
            await self._until_ended(showing)
            await asyncio.wait(tasks, timeout=LATE_SECONDS if self._is_over() else 0)
            self._link(FAILED if self._problem else ENDED)
        finally:
            await _cancel(showing, *tasks)
            show(self._taken())

    async def _until_ended(self, showing: "asyncio.Task[None]") -> None:
        """Returns when the run has ended, and raises what keeps changes from being shown."""
        ended = asyncio.create_task(self._ended.wait(), name="runstream-widget-ended")
        try:
            await asyncio.wait({ended, showing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if showing.done():
            showing.result()

    async def choose_log(self, path: str, show: Show) -> None:
        """Shows another log file."""
        self._log.choose(path)
        if self._ended.is_set():
            try:
                await self._log.load()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
                self._tell(LOG_TAIL, stop_reason(error))
            show(self._taken())

    def sections(self) -> dict[str, Section]:
        """All sections as they are now."""
        return {**self._picture.sections, CHARTS: self._charts.section(), LOG_TAIL: self._log.section()}

    def _taken(self) -> dict[str, Section]:
        changed, sections = self._picture.take(), self.sections()
        return {name: sections[name] for name in sections if name in changed}

    async def _show(self, show: Show) -> None:
        while True:
            if changes := self._taken():
                show(changes)
            await asyncio.sleep(max(self._seconds, size_of(changes) / BYTES_PER_SECOND))
            await self._picture.changed(BEAT_SECONDS)
            if self._state() == LIVE:
                self._link(LIVE)

    async def _follow_record(self) -> None:
        """Follows the record until the run has ended, or cannot be found any more."""
        try:
            await self._going_on(RECORD, self._take_changes)
        finally:
            self._ended.set()

    async def _take_changes(self) -> None:
        request = api.WatchRunsRequest(
            parent=self._run._workspace._record.name, names=[self._run._record.name], include_present=True
        )
        async for change in watch_runs(self._run._connection, request, self._hear):
            record = self._run._changed(change)
            if not self._has_status(record):
                record = await lasting(self._read_record)
            self._put_record(record)
            if self._is_over():
                return

    def _hear(self, is_heard: bool) -> None:
        state = LIVE if is_heard else AWAY
        if self._state() != state:
            self._link(state)

    def _state(self) -> str:
        return str(self._picture.sections[LINK].get("state", ""))

    def _link(self, state: str) -> None:
        self._picture.link(state, self._problem)

    def _has_status(self, record: run_pb2.Run) -> bool:
        """Whether the history that is shown, which a watch does not tell, ends with the status of a record."""
        history = self._picture.sections[RECORD]["history"]
        return bool(history) and history[-1][0] == status_name(record.status)

    async def _read_record(self) -> run_pb2.Run:
        connection = self._run._connection()
        response = await connection.call(connection.runs.GetRun, api.GetRunRequest(name=self._run._record.name))
        record: run_pb2.Run = response.run
        return record

    def _put_record(self, record: run_pb2.Run) -> None:
        section = record_section(record, self._run.get_portal_url())
        section["history"] = section["history"] or self._picture.sections[RECORD].get("history", [])
        self._picture.put(RECORD, section)

    def _is_over(self) -> bool:
        return self._picture.sections[RECORD]["status"] in TERMINAL

    async def _going_on(self, part: str, follow: Callable[[], Awaitable[None]]) -> None:
        """Lets the others go on when one part of the picture cannot be had, and says so."""
        await going_on(follow, lambda problem: self._tell(part, problem))

    def _tell(self, part: str, problem: str) -> None:
        if self._problems.get(part, "") != problem:
            self._problems[part] = problem
            self._link(self._state())

    @property
    def _problem(self) -> str:
        """What of the picture cannot be had, and why; empty: all is well."""
        return " ".join(dict.fromkeys(filter(None, self._problems.values())))


async def _cancel(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def size_of(changes: dict[str, Section]) -> int:
    """About how many bytes sections take."""
    curves = changes.get(CHARTS, {}).get("curves", ())
    lines = changes.get(LOG_TAIL, {}).get("lines", ())
    return sum(len(curve["steps"]) + len(curve["values"]) for curve in curves) + sum(map(len, lines))
