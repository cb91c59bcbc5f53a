"""The method that streams changes of runs."""

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.auth import caller
from runstream_server.names import RunName
from runstream_server.runs.convert.decoding import decode_run_names, decode_workspace_name
from runstream_server.runs.convert.encoding import encode_run, encode_run_name
from runstream_server.runs.rules.watch import Message, WatchRequest
from runstream_server.runs.servicer.base import Context, Methods
from runstream_server.runs.store.changes import Change


class WatchMethods(Methods):
    """The method that streams changes of runs."""

    async def WatchRuns(self, request: messages.WatchRunsRequest, context: Context) -> None:  # type: ignore[override]
        workspace = decode_workspace_name(request.parent, "parent")
        names = decode_run_names(request.names, workspace, least=0)
        await self._rules.runs.check_exist(workspace, names)
        watch = WatchRequest(workspace, names, request.filter, request.resume_token, request.include_present)

        async def send(message: Message) -> None:
            changes = [_encode(change) for change in message.changes if await self._is_reached(change)]
            await context.write(messages.WatchRunsResponse(changes=changes, resume_token=message.resume_token))

        await self._rules.watches.watch(watch, send)

    async def _is_reached(self, change: Change) -> bool:
        """Whether the caller may know of the run: changes of runs that the filter does not admit are told as well."""
        return change.is_admitted or await self._rules.reaches(caller(), RunName(change.run.workspace, change.run.run))


def _encode(change: Change) -> messages.RunChange:
    run = change.run
    if run.delete_time is not None:
        return messages.RunChange(kind=messages.RUN_CHANGE_KIND_DELETED, run=encode_run_name(run.workspace, run.run))
    if not change.is_admitted:
        return messages.RunChange(kind=messages.RUN_CHANGE_KIND_OUTSIDE, run=encode_run_name(run.workspace, run.run))
    return messages.RunChange(kind=messages.RUN_CHANGE_KIND_UPDATED, run=encode_run(run))
