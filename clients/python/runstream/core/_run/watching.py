"""Waits for the end of a run on a stream of changes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic

from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core._forms import E, R, W
from runstream.core._run.details import DetailCalls
from runstream.core._run.record import run_not_found
from runstream.core._status import ends_wait, status_name
from runstream.exceptions import ServiceException, UserErrorException

RESUMABLE = frozenset({429, 503})


class WatchCalls(DetailCalls[W, E, R], Generic[W, E, R]):
    """Follows the record of a run."""

    async def _await_end(self, *, wait_post_processing: bool) -> run_pb2.Run:
        """Returns the record once the run has ended, however long that takes and whatever connections break."""
        record = await self._refresh()
        if ends_wait(status_name(record.status), wait_post_processing=wait_post_processing):
            return record
        async for record in self._changes():
            self._record = record
            if ends_wait(status_name(record.status), wait_post_processing=wait_post_processing):
                break
        return self._record

    async def _changes(self) -> AsyncIterator[run_pb2.Run]:
        """The record now, and again whenever it changes."""
        request = api.WatchRunsRequest(
            parent=self._workspace._record.name, names=[self._record.name], include_present=True
        )
        async for change in watch_runs(self._connection, request):
            yield self._changed(change)

    def _changed(self, change: Any) -> run_pb2.Run:
        if change.kind == api.RUN_CHANGE_KIND_DELETED:
            gone = ServiceException("deleted", status_code=404, reason="RUN_DELETED")
            raise run_not_found(self.id, f"workspace {self._workspace.name}: it was deleted", gone)
        record: run_pb2.Run = change.run
        return record


async def watch_runs(
    connect: Callable[[], Connection],
    request: api.WatchRunsRequest,
    hear: Callable[[bool], None] = lambda is_heard: None,
) -> AsyncIterator[api.RunChange]:
    """The changes that a request asks for, without end and across broken connections.

    Where the services do not know any more what was told, everything is told again. `hear` is called with True at each
    message, the first of which comes at once, and with False when a connection breaks.
    """
    failures = 0
    while True:
        connection = connect()
        try:
            async for response in connection.stream(connection.runs.WatchRuns, request):
                request.resume_token, failures = response.resume_token or request.resume_token, 0
                hear(True)
                for change in response.changes:
                    yield change
        except ServiceException as error:
            if error.status_code not in RESUMABLE:
                raise
        except UserErrorException as error:
            if error.reason != "INVALID_RESUME_TOKEN":
                raise
            request.resume_token = ""
        hear(False)
        await asyncio.sleep(backoff_seconds(failures))
        failures += 1
