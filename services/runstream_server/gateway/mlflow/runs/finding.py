"""Finds the runs that requests name."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.errors import MlflowError, not_there, wrong
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.runs.documents import is_deleted
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName

_RUN_ID = re.compile(r"\w[\w.:+@=\-]{0,255}")


def run_not_found(run_id: str) -> MlflowError:
    """No run has this id."""
    return not_there(f"Run with id={run_id} not found")


def run_name(visitor: Visitor, run_id: str) -> RunName:
    """The name of a run; raises MlflowError if no run can have this id."""
    if not _RUN_ID.fullmatch(run_id):
        raise run_not_found(run_id)
    return RunName(visitor.workspace.workspace, run_id)


def run_deleted(run_id: str) -> MlflowError:
    """The run cannot be written to."""
    return wrong(f"The run {run_id} must be in the 'active' state. Current state is deleted.")


@contextmanager
def about_run(run_id: str) -> Iterator[None]:
    """Tells of refusals of the services what clients expect to read of a run."""
    try:
        yield
    except Refusal as refusal:
        if refusal.reason == "RUN_NOT_FOUND":
            raise run_not_found(run_id) from None
        if refusal.reason == "RUN_DELETED":
            raise run_deleted(run_id) from None
        raise


async def get_run(visitor: Visitor, run_id: str) -> run_pb2.Run:
    """Returns a run, also a deleted one; raises MlflowError if there is none."""
    request = messages.GetRunRequest(name=str(run_name(visitor, run_id)))
    with about_run(run_id):
        response = await visitor.call(visitor.services.runs.GetRun, request, messages.GetRunResponse)
    return response.run


async def get_active_run(visitor: Visitor, run_id: str) -> run_pb2.Run:
    """Returns a run that is not deleted; raises MlflowError otherwise."""
    run = await get_run(visitor, run_id)
    if is_deleted(run):
        raise run_deleted(run_id)
    return run


def asked_run_id(fields: Fields) -> str:
    """The run that a request is about: `run_id`, or `run_uuid` of old clients."""
    return fields.text("run_id") if fields.has("run_id") or not fields.has("run_uuid") else fields.text("run_uuid")
