"""Waiting for a run, with its output if asked for."""

import asyncio
import codecs
import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from runstream._channel import loop
from runstream._channel.tasks import end_tasks
from runstream.api.logs.v1 import log_service_pb2 as logs_api
from runstream.api.runs.v1 import run_pb2
from runstream.core._forms import E, R, W
from runstream.core._log_tail import LogTail
from runstream.core._recording import is_recorded
from runstream.core._run.details import to_error_details
from runstream.core._run.logs import shown_log
from runstream.core._run.watching import WatchCalls
from runstream.core._status import FAILED, status_name
from runstream.exceptions import ActivityFailedException

LOOK_SECONDS = 1.0
"""How often it is looked whether the output goes on in a later log file."""
FIRST_LOOK_SECONDS = 0.05
LOOK_FACTOR = 1.3
"""While there is no log file it is looked for soon, then more and more rarely; soon again when the status changes."""
LATE_SECONDS = 5.0
"""How long after the end of the run its output is followed, if it does not end."""

INTERRUPTED = (
    "The output streaming for the run interrupted.\n"
    "But the run goes on: call wait_for_completion again to follow it, or cancel to end it."
)

T = TypeVar("T")

Piece = str | bytes
"""Bytes of a log file, or a text that surrounds them."""


class WaitCalls(WatchCalls[W, E, R], Generic[W, E, R]):
    """Waits for runs."""

    async def _wait(self, wait_post_processing: bool, raise_on_error: bool) -> dict[str, Any]:
        record = await self._await_end(wait_post_processing=wait_post_processing)
        if status_name(record.status) == FAILED and raise_on_error:
            raise ActivityFailedException(f"Activity Failed:\n{_error_json(record)}")
        return await self._details()

    async def _output(self, *, wait_post_processing: bool, raise_on_error: bool) -> AsyncGenerator[Piece, None]:
        """The logs as they grow, and what surrounds them, until the run has ended."""
        heading = f"RunId: {self.id}\nWeb View: {self.get_portal_url()}\n"
        yield f"{heading}\n"
        end = asyncio.create_task(self._await_end(wait_post_processing=wait_post_processing), name="runstream-wait")
        try:
            async with aclosing(self._logs(end)) as pieces:
                async for piece in pieces:
                    yield piece
            record = await end
        finally:
            await end_tasks(end)
        yield f"\nExecution Summary\n=================\n{heading}{_remarks(record, raise_on_error)}\n"

    async def _logs(self, end: "asyncio.Task[run_pb2.Run]") -> AsyncGenerator[Piece, None]:
        """The log of the run as it grows, with a title for each file it is in.

        A process shows no log that it writes itself by printing: what it shows would have to be shown again.
        """
        if is_recorded(self._record.name):
            await asyncio.wait({end})
        tails: dict[str, LogTail] = {}
        status, pause = self._record.status, FIRST_LOOK_SECONDS
        while True:
            is_over, log = end.done(), None if is_recorded(self._record.name) else await self._shown_log()
            tail = tails.get(log.path) if log else None
            if log is not None and (tail is None or log.size_bytes > tail.offset):
                if tail is None:
                    title = f"Streaming {log.path}"
                    yield f"{chr(10) * bool(tails)}{title}\n{'=' * len(title)}\n\n"
                    request = logs_api.TailLogRequest(run=self._record.name, path=log.path)
                    tail = tails[log.path] = LogTail(self._connection, request)
                before = tail.offset
                async with aclosing(self._follow(tail, log.path, end)) as pieces:
                    async for piece in pieces:
                        yield piece
                is_over = is_over and tail.offset == before
            elif not is_over:
                pause = min(pause * LOOK_FACTOR, LOOK_SECONDS) if self._record.status == status else FIRST_LOOK_SECONDS
                status = self._record.status
                await asyncio.wait({end}, timeout=pause)
            if is_over:
                break
        if tails:
            yield "\n"

    async def _follow(self, tail: LogTail, path: str, end: "asyncio.Task[run_pb2.Run]") -> AsyncGenerator[bytes, None]:
        """The bytes of one log file until it is complete, or the output goes on in a later one."""
        clock = asyncio.get_running_loop().time
        looked, shown, ended = clock(), tail.offset, 0.0
        async with aclosing(tail.responses()) as responses:
            coming = asyncio.ensure_future(anext(responses, None))
            try:
                while True:
                    done, _ = await asyncio.wait({coming}, timeout=max(looked + LOOK_SECONDS - clock(), 0))
                    if done:
                        if (response := coming.result()) is None:
                            return
                        yield response.data
                        coming = asyncio.ensure_future(anext(responses, None))
                    if clock() < looked + LOOK_SECONDS:
                        continue
                    log = await self._shown_log()
                    if log is None or log.path != path:
                        return
                    is_silent, looked, shown = tail.offset == shown, clock(), tail.offset
                    ended = ended or (looked if end.done() else 0.0)
                    if ended and tail.offset >= log.size_bytes and (is_silent or looked > ended + LATE_SECONDS):
                        return
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    async def _shown_log(self) -> logs_api.LogFile | None:
        return shown_log(await self._list_logs())


class Printer:
    """Prints pieces of output as text, to where standard output leads at the time."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __call__(self, piece: Piece) -> None:
        """Prints a piece; a character that is cut in two comes with the piece that completes it."""
        text = piece if isinstance(piece, str) else self._decoder.decode(piece)
        print(text, end="", file=sys.stdout, flush=True)  # noqa: T201


def pull(pieces: AsyncGenerator[T, None], take: Callable[[T], None]) -> None:
    """Takes what comes in this thread, so that a terminal that is slow or held holds up nobody else."""
    try:
        while (piece := loop.run(_next(pieces))) is not None:
            take(piece)
    finally:
        loop.run(_close(pieces))


async def _close(pieces: AsyncGenerator[T, None]) -> None:
    while pieces.ag_running:  # type: ignore[attr-defined]  # noqa: ASYNC110 - an interrupt is on its way there
        await asyncio.sleep(0)
    await pieces.aclose()


async def _next(pieces: AsyncGenerator[T, None]) -> T | None:
    return await anext(pieces, None)


def _remarks(record: run_pb2.Run, raise_on_error: bool) -> str:
    warnings = [{"source": each.source, "message": each.message} for each in record.warnings]
    parts = [f"\nWarnings:\n{json.dumps(warnings, indent=4)}\n"] if warnings else []
    if record.HasField("error") and not raise_on_error:
        parts.append(f"\nError:\n{_error_json(record)}\n")
    return "".join(parts)


def _error_json(record: run_pb2.Run) -> str:
    return json.dumps(to_error_details(record.error) if record.HasField("error") else {}, indent=4)
