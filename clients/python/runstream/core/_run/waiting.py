"""Waiting for a run, with its output if asked for."""

import asyncio
import codecs
import json
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Generic, TextIO

from runstream._channel.backoff import backoff_seconds
from runstream.api.logs.v1 import log_service_pb2 as logs_api
from runstream.api.runs.v1 import run_pb2
from runstream.core._forms import E, R, W
from runstream.core._run.details import to_error_details
from runstream.core._run.watching import RESUMABLE, WatchCalls
from runstream.core._status import FAILED, status_name
from runstream.exceptions import ActivityFailedException, ServiceException

LOOK_SECONDS = 1.0
JOB_LOG = re.compile(r"user_logs/std_log(?:_process_0*(?P<rank>\d+))?\.txt|azureml-logs/\d\d.*\.txt")
OWN_LOG = "logs/user_log.txt"

INTERRUPTED = (
    "The output streaming for the run interrupted.\n"
    "But the run goes on: call wait_for_completion again to follow it, or cancel to end it."
)


class WaitCalls(WatchCalls[W, E, R], Generic[W, E, R]):
    """Waits for runs."""

    async def _wait(
        self, show_output: bool, wait_post_processing: bool, raise_on_error: bool, out: TextIO | None = None
    ) -> dict[str, Any]:
        if show_output:
            await self._show_output(wait_post_processing, raise_on_error, out or sys.stdout, out or sys.stdout)
        record = await self._await_end(wait_post_processing=wait_post_processing)
        if status_name(record.status) == FAILED and raise_on_error:
            raise ActivityFailedException(f"Activity Failed:\n{_error_json(record)}")
        return await self._details()

    async def _show_output(self, wait_post_processing: bool, raise_on_error: bool, out: TextIO, titles: TextIO) -> None:
        """Writes the logs to `out` as they grow, and what surrounds them to `titles`, until the run has ended."""
        heading = f"RunId: {self.id}\nWeb View: {self.get_portal_url()}\n"
        print(heading, file=titles, flush=True)
        end = asyncio.create_task(self._await_end(wait_post_processing=wait_post_processing), name="runstream-wait")
        try:
            async with aclosing(self._output(end, titles)) as output:
                async for text in output:
                    print(text, end="", file=out, flush=True)
            record = await end
        finally:
            end.cancel()
        summary = f"\nExecution Summary\n=================\n{heading}{_remarks(record, raise_on_error)}"
        print(summary, file=titles, flush=True)

    async def _output(self, end: "asyncio.Task[run_pb2.Run]", titles: TextIO) -> AsyncGenerator[str, None]:
        """The text of the run's log as it grows; `titles` is told whenever it goes on in a later log file."""
        shown: set[str] = set()
        while True:
            ended = end.done()
            path = await self._latest_log()
            if path and path not in shown:
                shown.add(path)
                title = f"Streaming {path}"
                print(f"{title}\n{'=' * len(title)}\n", file=titles, flush=True)
                async for text in self._tail(path):
                    yield text
                print(file=titles, flush=True)
            elif ended:
                return
            else:
                await asyncio.wait({end}, timeout=LOOK_SECONDS)

    async def _latest_log(self) -> str | None:
        paths = [log.path for log in await self._list_logs()]
        jobs = [path for path in paths if _is_shown(path)]
        return max(jobs) if jobs else next((path for path in paths if path == OWN_LOG), None)

    async def _tail(self, path: str) -> AsyncGenerator[str, None]:
        """The text of one log file until it is complete, or the output goes on in a later one."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        async with aclosing(self._chunks(path)) as chunks:
            coming = asyncio.ensure_future(anext(chunks, None))
            try:
                while True:
                    done, _ = await asyncio.wait({coming}, timeout=LOOK_SECONDS)
                    if not done:
                        if await self._latest_log() != path:
                            return
                        continue
                    if (chunk := coming.result()) is None:
                        return
                    yield decoder.decode(chunk)
                    coming = asyncio.ensure_future(anext(chunks, None))
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    async def _chunks(self, path: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a log file in order, across broken connections, until the file or the run has ended."""
        cursor, failures = "", 0
        while True:
            try:
                connection = self._connection()
                request = logs_api.TailLogRequest(run=self._record.name, path=path, cursor=cursor)
                async for response in connection.stream(connection.logs.TailLog, request):
                    cursor, failures = response.cursor or cursor, 0
                    if response.data:
                        yield response.data
                    if response.ended:
                        return
            except ServiceException as error:
                if error.status_code not in RESUMABLE:
                    raise
            await asyncio.sleep(backoff_seconds(failures))
            failures += 1


def _is_shown(path: str) -> bool:
    matched = JOB_LOG.fullmatch(path)
    return bool(matched) and (matched["rank"] in (None, "0") if matched else False)


def _remarks(record: run_pb2.Run, raise_on_error: bool) -> str:
    warnings = [{"source": each.source, "message": each.message} for each in record.warnings]
    parts = [f"\nWarnings:\n{json.dumps(warnings, indent=4)}\n"] if warnings else []
    if record.HasField("error") and not raise_on_error:
        parts.append(f"\nError:\n{_error_json(record)}\n")
    return "".join(parts)


def _error_json(record: run_pb2.Run) -> str:
    return json.dumps(to_error_details(record.error) if record.HasField("error") else {}, indent=4)
