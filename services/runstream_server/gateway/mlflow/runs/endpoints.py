"""The endpoints of runs themselves: made, read, changed, deleted and brought back."""

import random
import time
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream_server.auth import Role
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint
from runstream_server.gateway.mlflow.errors import MlflowError, wrong
from runstream_server.gateway.mlflow.experiments.known import KnownExperiments, require_active
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.metrics.latest import read_latest
from runstream_server.gateway.mlflow.runs.documents import (
    PARENT_TAG,
    RUN_NAME_TAG,
    UNKNOWN_USER,
    id_of,
    run_document,
    run_info,
)
from runstream_server.gateway.mlflow.runs.endings import RunEndings, read_status
from runstream_server.gateway.mlflow.runs.finding import about_run, asked_run_id, get_active_run, get_run, run_name
from runstream_server.gateway.mlflow.runs.inputs import inputs_document, outputs_document
from runstream_server.gateway.mlflow.runs.labelling import check_run_name, split_tags, update_run
from runstream_server.gateway.mlflow.runs.labels import RUN_TAG, read_labels
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.store.inputs import InputsAndOutputs, InputStore
from runstream_server.gateway.visitors import Visitor

USER = 256
"""Characters of the name of a user."""

_USER_TAG = "mlflow.user"
_NO_PARENT = ("RUN_NOT_FOUND", "EXPERIMENT_MISMATCH")


class RunEndpoints:
    """What clients do with runs."""

    def __init__(self, experiments: KnownExperiments, inputs: InputStore) -> None:
        self._experiments = experiments
        self._inputs = inputs
        self._endings = RunEndings()

    def endpoints(self) -> Sequence[Endpoint]:
        """`runs/create` to `runs/restore`."""
        return [
            Endpoint("POST", "runs/create", self._create, Role.WRITER),
            Endpoint("GET", "runs/get", self._get, Role.READER),
            Endpoint("POST", "runs/update", self._update, Role.WRITER),
            Endpoint("POST", "runs/delete", self._delete, Role.WRITER, of_run=False),
            Endpoint("POST", "runs/restore", self._restore, Role.WRITER, of_run=False),
        ]

    async def _create(self, visitor: Visitor, fields: Fields) -> Answer:
        experiment = require_active(await self._experiments.get(visitor, fields.text_or("experiment_id", "") or "0"))
        run = _read_run(fields)
        run.experiment = experiment.message.name
        request = messages.CreateRunRequest(
            parent=str(visitor.workspace),
            run=run,
            run_id=make_run_id(),
            start=True,
            start_time=read_time(fields, "start_time"),
        )
        return {"run": run_document(await _created(visitor, request), experiment.id)}

    async def _get(self, visitor: Visitor, fields: Fields) -> Answer:
        run = await get_run(visitor, asked_run_id(fields))
        experiment_id = await self._experiments.number_of_run(visitor, run)
        latest = (await read_latest(visitor, [run.name])).get(run.name, ())
        run_id = id_of(run.name)
        used = (await self._inputs.of_runs(visitor.workspace.workspace, [run_id])).get(run_id, InputsAndOutputs())
        inputs, outputs = inputs_document(used), outputs_document(used)
        return {"run": run_document(run, experiment_id, latest, inputs=inputs, outputs=outputs)}

    async def _update(self, visitor: Visitor, fields: Fields) -> Answer:
        run_id = asked_run_id(fields)
        status, end_time = read_status(fields), read_time(fields, "end_time")
        shown = check_run_name(fields.text_or("run_name", ""))
        run = await get_active_run(visitor, run_id)
        if shown:
            run = await update_run(
                visitor, run_name(visitor, run_id), run_pb2.Run(display_name=shown), ["display_name"]
            )
        if status:
            with about_run(run_id):
                run = await self._endings.enter(visitor, run, status, end_time)
        return {"run_info": run_info(run, await self._experiments.number_of_run(visitor, run))}

    async def _delete(self, visitor: Visitor, fields: Fields) -> Answer:
        run = run_name(visitor, asked_run_id(fields))
        request = messages.DeleteRunsRequest(parent=str(visitor.workspace), names=[str(run)])
        with about_run(run.run):
            await visitor.call(visitor.services.runs.DeleteRuns, request, messages.DeleteRunsResponse)
        return {}

    async def _restore(self, visitor: Visitor, fields: Fields) -> Answer:
        run = run_name(visitor, asked_run_id(fields))
        request = messages.RestoreRunsRequest(parent=str(visitor.workspace), names=[str(run)])
        with about_run(run.run):
            await visitor.call(visitor.services.runs.RestoreRuns, request, messages.RestoreRunsResponse)
        return {}


def make_run_id() -> str:
    """A new id of the form that clients know: 32 hexadecimal digits, those of a later millisecond greater."""
    return f"{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"


def read_time(fields: Fields, name: str) -> Timestamp | None:
    """A time in milliseconds since the epoch; None if there is none, or 0."""
    value = fields.integer_or(name, 0) or 0
    if not 0 <= value < 253_402_300_800_000:
        raise fields.error(name, "expected milliseconds since the epoch, before the year 10000")
    return Timestamp(seconds=value // 1_000, nanos=value % 1_000 * 1_000_000) if value else None


def _read_run(fields: Fields) -> run_pb2.Run:
    tags = read_labels(fields, "tags", RUN_TAG)
    shown = fields.text_or("run_name", "")
    tagged = tags.get(RUN_NAME_TAG, "")
    if shown and tagged and shown != tagged:
        raise _two_names(shown, tagged)
    named = {name: value for name, value in tags.items() if name != RUN_NAME_TAG or value}
    run, rest = split_tags(named | ({RUN_NAME_TAG: shown} if shown else {}))
    run.creator = fields.text_or("user_id", "", most=USER) or tags.get(_USER_TAG, "")[:USER] or UNKNOWN_USER
    run.tags.extend(Tag(key=key, value=value) for key, value in rest.items())
    return run


def _two_names(shown: str, tagged: str) -> MlflowError:
    return wrong(f"The run has two names: run_name is '{shown}', tag '{RUN_NAME_TAG}' is '{tagged}'. Send one of them.")


async def _created(visitor: Visitor, request: messages.CreateRunRequest) -> run_pb2.Run:
    """Creates a run below the one that a tag names as its parent, if that is one of the same experiment.

    With the token of a run it is below that one otherwise: such a token reaches nothing else.
    """
    named = next((tag.value for tag in request.run.tags if tag.key == PARENT_TAG), "")
    own = visitor.caller.run.run if visitor.caller and visitor.caller.run else ""
    for parent in filter(None, (named, own)):
        try:
            request.run.parent = str(run_name(visitor, parent))
            return await _create(visitor, request)
        except MlflowError:
            pass
        except Refusal as refusal:
            if refusal.reason not in _NO_PARENT:
                raise
        request.run.parent = ""
    return await _create(visitor, request)


async def _create(visitor: Visitor, request: messages.CreateRunRequest) -> run_pb2.Run:
    response = await visitor.call(visitor.services.runs.CreateRun, request, messages.CreateRunResponse)
    return response.run
