"""Follows one of the log files of a run."""

import asyncio
from contextlib import aclosing
from typing import Any, Final

from runstream.api.logs.v1 import log_service_pb2 as logs_api
from runstream.core._lasting import lasting, may_pass
from runstream.core._log_reading import read_log
from runstream.core._log_tail import LogTail
from runstream.core._run.logs import shown_log
from runstream.exceptions import AzureMLException
from runstream.widgets._log_lines import MAX_LINES, LogLines
from runstream.widgets._picture import LOG_TAIL, Picture, Section

LOOK_SECONDS: Final = 2.0
"""How often it is looked which log files there are."""

LATE_SECONDS: Final = 10.0
"""How long after the end of the run its log is followed."""

END_BYTES: Final = 256 * 1024
"""The last lines are looked for in so much of a file: one without line feeds may have gigabytes."""


class LogView:
    """The last lines of the log file that somebody chose, else of the one that has what is printed."""

    def __init__(self, run: Any, picture: Picture, ended: asyncio.Event) -> None:
        self._run = run
        self._picture = picture
        self._ended = ended
        self._chosen = ""
        self._path = ""
        self._paths: list[str] = []
        self._text = LogLines()
        self._note = ""
        self._tail: asyncio.Task[None] | None = None
        self._look = asyncio.Event()

    def choose(self, path: str) -> None:
        """Shows another file."""
        if path in self._paths:
            self._chosen = path
            self._look.set()

    async def load(self) -> None:
        """Reads the last lines."""
        if (log := await self._wanted()) is not None:
            self._begin(log.path)
            self._text.feed(await self._end(log))
            self._picture.touch(LOG_TAIL)

    async def follow(self) -> None:
        """Reads the last lines, and takes what comes until the run has ended."""
        try:
            while True:
                is_over, log = self._ended.is_set(), await lasting(self._wanted)
                if log is not None and (log.path != self._path or self._tail is None):
                    self._begin(log.path)
                    self._tail = asyncio.create_task(self._take(log), name="runstream-widget-log")
                if is_over:
                    break
                await self._wait()
                self._check()
            if self._tail is not None:
                await asyncio.wait({self._tail}, timeout=LATE_SECONDS)
                self._check()
        finally:
            self._leave()

    def _check(self) -> None:
        """Raises what the tail was stopped by."""
        if self._tail is not None and self._tail.done():
            self._tail.result()

    def section(self) -> Section:
        """What is shown."""
        return {"path": self._path, "paths": self._paths, "lines": self._text.lines(), "note": self._note}

    async def _wanted(self) -> logs_api.LogFile | None:
        logs = await self._run._list_logs()
        paths = [log.path for log in logs]
        if paths != self._paths:
            self._paths = paths
            self._picture.touch(LOG_TAIL)
        chosen = next((log for log in logs if log.path == self._chosen), None)
        found: logs_api.LogFile | None = chosen or shown_log(logs) or next(iter(logs), None)
        return found

    def _begin(self, path: str) -> None:
        self._leave()
        self._path, self._text, self._note = path, LogLines(), ""
        self._picture.touch(LOG_TAIL)

    def _leave(self) -> None:
        if self._tail is not None:
            self._tail.cancel()
            self._tail = None

    async def _take(self, log: logs_api.LogFile) -> None:
        try:
            await self._take_all(log)
        except AzureMLException as error:
            if may_pass(error):
                raise
            self._note = error.message
            self._picture.touch(LOG_TAIL)

    async def _take_all(self, log: logs_api.LogFile) -> None:
        """Follows a file until the run has ended, also when its writer finishes and comes back."""
        tail = LogTail(self._run._connection, await lasting(lambda: self._request(log)))
        while True:
            async with aclosing(tail.responses()) as responses:
                async for response in responses:
                    if response.data:
                        self._text.feed(response.data)
                        self._picture.touch(LOG_TAIL)
            if self._ended.is_set():
                return
            await self._wait()

    async def _request(self, log: logs_api.LogFile) -> logs_api.TailLogRequest:
        """Asks for the last lines; of a large file for those near its end, and what has no line feed is read first."""
        request = logs_api.TailLogRequest(run=self._run._record.name, path=log.path, last_lines=MAX_LINES)
        if log.size_bytes > END_BYTES:
            end = await self._end(log)
            request.last_lines = min(end.count(b"\n"), MAX_LINES)
            if not request.last_lines:
                request.start = logs_api.TAIL_START_NOW
                self._text.feed(end)
                self._picture.touch(LOG_TAIL)
        return request

    async def _end(self, log: logs_api.LogFile) -> bytes:
        request = logs_api.ReadLogRequest(
            run=self._run._record.name, path=log.path, start_offset=max(log.size_bytes - END_BYTES, 0)
        )
        async with aclosing(read_log(self._run._connection, request)) as responses:
            return b"".join([response.data async for response in responses])

    async def _wait(self) -> None:
        """Waits until it is time to look, or there is a reason to."""
        looks = [asyncio.ensure_future(event.wait()) for event in (self._look, self._ended)]
        try:
            await asyncio.wait(looks, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for look in looks:
                look.cancel()
        self._look.clear()
