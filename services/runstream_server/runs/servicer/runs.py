"""The methods about runs."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from google.protobuf.message import Message

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.errors import InvalidField
from runstream_server.names import ExperimentName, RunName
from runstream_server.runs import limits
from runstream_server.runs.convert.decoding import (
    NewRuns,
    decode_error,
    decode_properties,
    decode_run_edits,
    decode_run_names,
    decode_summaries,
    decode_tags,
    decode_told_time,
    decode_warnings,
    decode_workspace_name,
)
from runstream_server.runs.convert.encoding import AlikeRuns, complete, encode_run, encode_status, encode_tags, lay_out
from runstream_server.runs.limits import Checks
from runstream_server.runs.model import MetricSummary, NewRun, Tags
from runstream_server.runs.servicer.base import Context, Methods, Rules

_SLICE = 500


class RunMethods(Methods):
    """The methods about runs."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._new_runs = NewRuns(rules.identifiers)
        self._created = AlikeRuns()

    async def CreateRun(self, request: messages.CreateRunRequest, context: Context) -> messages.CreateRunResponse:
        workspace = decode_workspace_name(request.parent, "parent")
        checks = Checks()
        request_id = checks.request_id("request_id", request.request_id)
        checks.done()
        new = self._new_runs.decode(request, workspace)
        run, is_new = await self._rules.creations.create(workspace, new, request_id)
        if not is_new:
            return messages.CreateRunResponse(run=encode_run(run))
        response = messages.CreateRunResponse()
        self._created.encode(run, new, response.run)
        return response

    async def BatchCreateRuns(
        self, request: messages.BatchCreateRunsRequest, context: Context
    ) -> messages.BatchCreateRunsResponse:
        workspace = decode_workspace_name(request.parent, "parent")
        checks = Checks()
        checks.count("requests", len(request.requests), limits.BATCH)
        request_id = checks.request_id("request_id", request.request_id)
        checks.done()
        new = await self._decode_all(request.requests, workspace)
        response = messages.BatchCreateRunsResponse()
        async with asyncio.TaskGroup() as tasks:
            creation = tasks.create_task(self._rules.creations.create_batch(workspace, new, request_id))
            tasks.create_task(lay_out(new, response.runs))
        runs, is_new = creation.result()
        if not is_new:
            return messages.BatchCreateRunsResponse(runs=map(encode_run, runs))
        complete(runs, new, response.runs)
        return response

    async def _decode_all(self, requests: Sequence[messages.CreateRunRequest], workspace: str) -> Sequence[NewRun]:
        """The runs of a batch. Lets other calls go on in between."""
        new = []
        for position, request in enumerate(requests):
            new.append(self._new_runs.decode(request, workspace, f"requests[{position}]."))
            if position % _SLICE == 0:
                await asyncio.sleep(0)
        return new

    async def GetRun(self, request: messages.GetRunRequest, context: Context) -> messages.GetRunResponse:
        name = RunName.parse(request.name)
        run, history = await self._rules.runs.get(name.workspace, name.run)
        summaries: Sequence[MetricSummary] = ()
        if _is_full(request.view):
            summaries = (await self._rules.runs.summaries(name.workspace, [name.run]))[name.run]
        return messages.GetRunResponse(run=encode_run(run, history=history, summaries=summaries))

    async def BatchGetRuns(
        self, request: messages.BatchGetRunsRequest, context: Context
    ) -> messages.BatchGetRunsResponse:
        workspace = decode_workspace_name(request.parent, "parent")
        runs = await self._rules.runs.get_many(workspace, decode_run_names(request.names, workspace))
        return messages.BatchGetRunsResponse(runs=map(encode_run, runs))

    async def ListRuns(self, request: messages.ListRunsRequest, context: Context) -> messages.ListRunsResponse:
        workspace = decode_workspace_name(request.parent, "parent")
        checks = Checks()
        page_size = checks.page_size(request.page_size)
        checks.done()
        page, summaries, token = await self._rules.listings.page(
            workspace,
            filter_text=request.filter,
            order_text=request.order_by,
            page_size=page_size,
            page_token=request.page_token,
            show_deleted=request.show_deleted,
            full=_is_full(request.view),
        )
        runs = [encode_run(run, summaries=summaries.get(run.run, ())) for run in page]
        return messages.ListRunsResponse(runs=runs, next_page_token=token)

    async def UpdateRun(self, request: messages.UpdateRunRequest, context: Context) -> messages.UpdateRunResponse:
        name = RunName.parse(request.run.name, "run.name")
        reason, time = _reason(request.reason), _told_time(request, "time")
        edits, status = decode_run_edits(request.run, request.update_mask, self._rules.now())
        run = await self._rules.runs.update(
            name.workspace, name.run, edits, status, reason, time=time, keep_error=request.keep_error
        )
        return messages.UpdateRunResponse(run=encode_run(run))

    async def ModifyTags(self, request: messages.ModifyTagsRequest, context: Context) -> messages.ModifyTagsResponse:
        checks = Checks()
        longest = limits.EXPERIMENT_TAG if _is_of_experiment(request) else limits.VALUE
        tags = decode_tags(checks, "set", request.set, longest)
        removed = [checks.key(f"remove[{index}]", key) for index, key in enumerate(request.remove)]
        for key in tags.keys() & removed:
            checks.fail("remove", f"key {key[:80]!r} is in set as well")
        if len(removed) > limits.TAGS:
            checks.fail("remove", f"up to {limits.TAGS} keys; got {len(removed)}")
        checks.done()
        return messages.ModifyTagsResponse(tags=encode_tags(await self._modify_tags(request, tags, removed)))

    async def _modify_tags(self, request: messages.ModifyTagsRequest, tags: Tags, removed: Sequence[str]) -> Tags:
        if _is_of_experiment(request):
            experiment = ExperimentName.parse(request.name)
            return await self._rules.experiments.modify_tags(experiment.workspace, experiment.experiment, tags, removed)
        run = RunName.parse(request.name)
        return await self._rules.runs.modify_tags(
            run.workspace, run.run, tags, removed, refuse_deleted=request.refuse_deleted
        )

    async def AddProperties(
        self, request: messages.AddPropertiesRequest, context: Context
    ) -> messages.AddPropertiesResponse:
        name = RunName.parse(request.name)
        checks = Checks()
        properties = decode_properties(checks, "properties", request.properties)
        checks.done()
        changed = await self._rules.runs.add_properties(
            name.workspace, name.run, properties, refuse_deleted=request.refuse_deleted
        )
        return messages.AddPropertiesResponse(properties=changed)

    async def AddWarnings(self, request: messages.AddWarningsRequest, context: Context) -> messages.AddWarningsResponse:
        name = RunName.parse(request.name)
        warnings = decode_warnings(request.warnings, self._rules.now())
        await self._rules.runs.add_warnings(name.workspace, name.run, warnings)
        return messages.AddWarningsResponse()

    async def StartRun(self, request: messages.StartRunRequest, context: Context) -> messages.StartRunResponse:
        name = RunName.parse(request.name)
        run = await self._rules.runs.start(name.workspace, name.run, _told_time(request, "start_time"))
        return messages.StartRunResponse(run=encode_run(run))

    async def CompleteRun(self, request: messages.CompleteRunRequest, context: Context) -> messages.CompleteRunResponse:
        name = RunName.parse(request.name)
        run = await self._rules.runs.complete(name.workspace, name.run, _told_time(request, "end_time"))
        return messages.CompleteRunResponse(run=encode_run(run))

    async def FailRun(self, request: messages.FailRunRequest, context: Context) -> messages.FailRunResponse:
        name = RunName.parse(request.name)
        checks = Checks()
        error = decode_error(checks, "error", request.error, self._rules.now())
        time = decode_told_time(checks, request, "end_time")
        checks.done()
        run = await self._rules.runs.fail(name.workspace, name.run, error, time)
        return messages.FailRunResponse(run=encode_run(run))

    async def CancelRun(self, request: messages.CancelRunRequest, context: Context) -> messages.CancelRunResponse:
        name = RunName.parse(request.name)
        run, changed_count = await self._rules.runs.cancel(
            name.workspace,
            name.run,
            recursive=request.recursive,
            reason=_reason(request.reason),
            time=_told_time(request, "end_time"),
        )
        return messages.CancelRunResponse(run=encode_run(run), changed_count=changed_count)

    async def Heartbeat(self, request: messages.HeartbeatRequest, context: Context) -> messages.HeartbeatResponse:
        name = RunName.parse(request.name)
        status, cancel_requested = await self._rules.runs.heartbeat(name.workspace, name.run)
        return messages.HeartbeatResponse(status=encode_status(status), cancel_requested=cancel_requested)

    async def DeleteRuns(self, request: messages.DeleteRunsRequest, context: Context) -> messages.DeleteRunsResponse:
        changed = await self._set_deleted(request.parent, request.names, deleted=True)
        return messages.DeleteRunsResponse(changed_count=changed)

    async def RestoreRuns(self, request: messages.RestoreRunsRequest, context: Context) -> messages.RestoreRunsResponse:
        changed = await self._set_deleted(request.parent, request.names, deleted=False)
        return messages.RestoreRunsResponse(changed_count=changed)

    async def _set_deleted(self, parent: str, names: Sequence[str], *, deleted: bool) -> int:
        workspace = decode_workspace_name(parent, "parent")
        return await self._rules.runs.set_deleted(workspace, decode_run_names(names, workspace), deleted=deleted)

    async def RecordMetricSummaries(
        self, request: messages.RecordMetricSummariesRequest, context: Context
    ) -> messages.RecordMetricSummariesResponse:
        for workspace, summaries in _by_workspace(request.runs).items():
            await self._rules.runs.record_summaries(workspace, summaries)
        return messages.RecordMetricSummariesResponse()


def _by_workspace(
    runs: Sequence[messages.RunMetricSummaries],
) -> dict[str, dict[str, Sequence[MetricSummary]]]:
    checks = Checks()
    checks.count("runs", len(runs), limits.SUMMARIES_RUNS)
    found: dict[str, dict[str, Sequence[MetricSummary]]] = {}
    for position, of_run in enumerate(runs):
        name = RunName.parse(of_run.run, f"runs[{position}].run")
        summaries = found.setdefault(name.workspace, {})
        if name.run in summaries:
            checks.fail(f"runs[{position}].run", f"{name} is there twice; runs are distinct")
        summaries[name.run] = decode_summaries(checks, f"runs[{position}].summaries", of_run.summaries)
    checks.done()
    return found


def _is_of_experiment(request: messages.ModifyTagsRequest) -> bool:
    return "/experiments/" in request.name


def _is_full(view: "run_pb2.RunView.ValueType") -> bool:
    if view not in run_pb2.RunView.values():
        raise InvalidField("view", f"expected a value of RunView; got {view}")
    return view == run_pb2.RUN_VIEW_FULL


def _reason(text: str) -> str:
    checks = Checks()
    checks.text("reason", text, limits.REASON)
    checks.done()
    return text


def _told_time(request: Message, field: str) -> datetime | None:
    checks = Checks()
    time = decode_told_time(checks, request, field)
    checks.done()
    return time
