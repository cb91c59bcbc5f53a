"""From the model to messages."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from runstream.api.runs.v1 import experiment_pb2, run_pb2, workspace_pb2
from runstream_server.names import ExperimentName, RunName, WorkspaceName
from runstream_server.runs.convert.times import encode_duration, encode_optional_time, encode_time
from runstream_server.runs.model import (
    Experiment,
    Labels,
    MetricSummary,
    NewRun,
    Run,
    RunError,
    RunKind,
    RunWarning,
    StatusChange,
    Tags,
    Workspace,
)
from runstream_server.runs.status import RunStatus

_STATUSES = {
    RunStatus.NOT_STARTED: run_pb2.RUN_STATUS_NOT_STARTED,
    RunStatus.UNAPPROVED: run_pb2.RUN_STATUS_UNAPPROVED,
    RunStatus.PAUSING: run_pb2.RUN_STATUS_PAUSING,
    RunStatus.PAUSED: run_pb2.RUN_STATUS_PAUSED,
    RunStatus.STARTING: run_pb2.RUN_STATUS_STARTING,
    RunStatus.PREPARING: run_pb2.RUN_STATUS_PREPARING,
    RunStatus.PROVISIONING: run_pb2.RUN_STATUS_PROVISIONING,
    RunStatus.QUEUED: run_pb2.RUN_STATUS_QUEUED,
    RunStatus.RUNNING: run_pb2.RUN_STATUS_RUNNING,
    RunStatus.FINALIZING: run_pb2.RUN_STATUS_FINALIZING,
    RunStatus.CANCEL_REQUESTED: run_pb2.RUN_STATUS_CANCEL_REQUESTED,
    RunStatus.COMPLETED: run_pb2.RUN_STATUS_COMPLETED,
    RunStatus.FAILED: run_pb2.RUN_STATUS_FAILED,
    RunStatus.CANCELED: run_pb2.RUN_STATUS_CANCELED,
    RunStatus.NOT_RESPONDING: run_pb2.RUN_STATUS_NOT_RESPONDING,
}
STATUSES = {number: status for status, number in _STATUSES.items()}
"""Statuses by their numbers."""


def encode_status(status: RunStatus) -> "run_pb2.RunStatus.ValueType":
    """The number of a status."""
    return _STATUSES[status]


def encode_workspace(workspace: Workspace, gateway_url: str) -> workspace_pb2.Workspace:
    """A workspace as a message; `gateway_url` says where the gateway is, empty: nobody knows."""
    name = WorkspaceName(workspace.workspace)
    return workspace_pb2.Workspace(
        name=str(name),
        display_name=workspace.display_name,
        description=workspace.description,
        tags=encode_tags(workspace.tags),
        create_time=encode_time(workspace.create_time),
        update_time=encode_time(workspace.update_time),
        log_retention=encode_duration(workspace.log_retention),
        gateway_url=f"{gateway_url}/{name}" if gateway_url else "",
    )


def encode_experiment(experiment: Experiment) -> experiment_pb2.Experiment:
    """An experiment as a message."""
    return experiment_pb2.Experiment(
        name=str(ExperimentName(experiment.workspace, experiment.experiment)),
        display_name=experiment.display_name,
        description=experiment.description,
        tags=encode_tags(experiment.tags),
        create_time=encode_time(experiment.create_time),
        update_time=encode_time(experiment.update_time),
        archive_time=encode_optional_time(experiment.archive_time),
    )


def encode_run(
    run: Run, *, history: Iterable[StatusChange] = (), summaries: Iterable[MetricSummary] = ()
) -> run_pb2.Run:
    """A run as a message."""
    runs = f"workspaces/{run.workspace}/runs/"
    return run_pb2.Run(
        name=runs + run.run,
        experiment=f"workspaces/{run.workspace}/experiments/{run.experiment}",
        experiment_display_name=run.experiment_display_name,
        parent="" if run.parent is None else runs + run.parent,
        root=runs + run.root,
        number=run.number,
        run_type=run.run_type,
        display_name=run.display_name,
        description=run.description,
        status=_STATUSES[run.status],
        tags=encode_tags(run.tags),
        properties=run.properties,
        create_time=encode_time(run.create_time),
        start_time=encode_optional_time(run.start_time),
        end_time=encode_optional_time(run.end_time),
        update_time=encode_time(run.update_time),
        heartbeat_enabled=run.heartbeat_enabled,
        error=None if run.error is None else _error(run.error),
        warnings=[_warning(warning) for warning in run.warnings],
        creator=run.creator,
        target=run.target,
        service_managed=run.service_managed,
        max_run_duration=encode_duration(run.max_run_duration),
        cancel_request_time=encode_optional_time(run.cancel_request_time),
        hidden=run.hidden,
        delete_time=encode_optional_time(run.delete_time),
        status_history=[_change(change) for change in history],
        metric_summaries=[_summary(summary) for summary in summaries],
        script_name=run.script_name,
        label=run.label,
        experiment_archive_time=encode_optional_time(run.experiment_archive_time),
    )


_SLICE = 100


async def lay_out(new: Iterable[NewRun], target: Any) -> None:
    """Adds runs that are being created to a field of a message, with what is known of them already.

    Lets others run in between, above all whoever waits for the store.
    """
    templates: dict[int, run_pb2.Run] = {}
    for place, run in enumerate(new):
        template = templates.get(id(run.labels))
        if template is None:
            labels = run.labels
            template = run_pb2.Run(tags=encode_tags(labels.tags), properties=labels.properties)
            templates[id(labels)] = template
        message = target.add()
        message.CopyFrom(template)
        if place % _SLICE == 0:
            await asyncio.sleep(0)


def complete(runs: Iterable[Run], new: Iterable[NewRun], messages: Iterable[run_pb2.Run]) -> None:
    """Tells the rest of runs just created, all at one time, in the messages that `lay_out` made of them."""
    templates: dict[object, run_pb2.Run] = {}
    for run, of, message in zip(runs, new, messages, strict=True):
        key = (id(of.kind), run.experiment)
        template = templates.get(key)
        if template is None:
            blank = run._replace(run="", root="", number=0, display_name="", tags={}, properties={})
            template = templates[key] = encode_run(blank)
        message.MergeFrom(template)
        _tell_apart(run, message)


class AlikeRuns:
    """Encodes runs just created. Those of one transaction are mostly alike: the next is copied from the one before."""

    def __init__(self) -> None:
        self._alike: tuple[Labels, RunKind, datetime, str] | None = None
        self._template = run_pb2.Run()

    def encode(self, run: Run, new: NewRun, message: run_pb2.Run) -> None:
        """Writes a run, made of `new`, into an empty message."""
        alike = self._alike
        if (
            alike is None
            or alike[0] is not new.labels
            or alike[1] is not new.kind
            or alike[2:] != (run.create_time, run.experiment)
        ):
            self._template = encode_run(run)
            self._alike = (new.labels, new.kind, run.create_time, run.experiment)
        message.CopyFrom(self._template)
        _tell_apart(run, message)


def _tell_apart(run: Run, message: run_pb2.Run) -> None:
    names = f"workspaces/{run.workspace}/runs/"
    message.name = names + run.run
    message.root = names + run.root
    message.number = run.number
    message.display_name = run.display_name


def encode_run_name(workspace: str, run: str) -> run_pb2.Run:
    """A run of which only the name is told."""
    return run_pb2.Run(name=str(RunName(workspace, run)))


def encode_tags(tags: Tags) -> Sequence[workspace_pb2.Tag]:
    """Tags in ascending order of key."""
    return [workspace_pb2.Tag(key=key, value=tags[key]) for key in sorted(tags)]


def _error(error: RunError) -> run_pb2.RunError:
    return run_pb2.RunError(
        code=error.code,
        message=error.message,
        exception_type=error.exception_type,
        stack_trace=error.stack_trace,
        time=encode_time(error.time),
    )


def _warning(warning: RunWarning) -> run_pb2.RunWarning:
    return run_pb2.RunWarning(source=warning.source, message=warning.message, time=encode_time(warning.time))


def _change(change: StatusChange) -> run_pb2.RunStatusChange:
    return run_pb2.RunStatusChange(status=_STATUSES[change.status], time=encode_time(change.time), reason=change.reason)


def _summary(summary: MetricSummary) -> run_pb2.MetricSummary:
    return run_pb2.MetricSummary(
        metric=summary.metric,
        last=summary.last,
        min=summary.min,
        max=summary.max,
        count=summary.count,
        revision=summary.revision,
    )
