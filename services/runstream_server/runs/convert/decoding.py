"""From messages to the model. Every field is held to its limits; all that are wrong are named at once."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from runstream.api.runs.v1 import experiment_pb2, run_pb2, workspace_pb2
from runstream.api.runs.v1.run_history_service_pb2 import CreateRunRequest
from runstream_server.errors import InvalidField
from runstream_server.names import ExperimentName, RunName, WorkspaceName, check_run_id
from runstream_server.runs import limits
from runstream_server.runs.convert.encoding import STATUSES
from runstream_server.runs.convert.times import decode_duration, decode_time
from runstream_server.runs.credentials import without_credentials
from runstream_server.runs.identifiers import Identifiers, make_display_name
from runstream_server.runs.limits import Checks
from runstream_server.runs.model import (
    Edits,
    Labels,
    MetricSummary,
    NewRun,
    Properties,
    RunEdits,
    RunError,
    RunKind,
    RunWarning,
    Tags,
    WorkspaceEdits,
)
from runstream_server.runs.status import RunStatus

_REMEMBERED = 512
_REMEMBERED_BYTES = 4_096
"""How many requests are remembered, and how large they may be."""

_V = TypeVar("_V")


class NewRuns:
    """Decodes runs to create in one workspace.

    Most of what a request says it shares with others: often all but identifier and display name, nearly always all but
    these, tags and properties. Such a part is decoded and checked once, and recognised by its bytes.
    """

    def __init__(self, identifiers: Identifiers) -> None:
        self._identifiers = identifiers
        self._alike: dict[tuple[str, bytes], tuple[Labels, RunKind]] = {}
        self._kinds: dict[tuple[str, bytes], RunKind] = {}

    def decode(self, request: CreateRunRequest, workspace: str, path: str = "") -> NewRun:
        """A run to create; `path` leads to the request in error messages and ends with a dot where it is not empty.

        Takes what it has read out of the request.
        """
        if request.parent and request.parent != f"workspaces/{workspace}":
            raise InvalidField(f"{path}parent", f"expected workspaces/{workspace} like that of the batch, or nothing")
        run_id = check_run_id(request.run_id, f"{path}run_id") if request.run_id else self._identifiers.make()
        display_name = request.run.display_name or make_display_name()
        for field in ("parent", "run_id", "request_id"):
            request.ClearField(field)
        request.run.ClearField("display_name")
        key = (workspace, request.SerializeToString())
        alike = self._alike.get(key)
        if alike is None or len(display_name) > limits.KEY or not display_name.isprintable():
            checks = Checks()
            checks.text(f"{path}run.display_name", display_name, limits.DISPLAY_NAME)
            alike = alike or self._decode_alike(request, path, workspace, checks)
            checks.done()
            _remember(self._alike, key, alike)
        return NewRun(run_id, display_name, *alike)

    def _decode_alike(
        self, request: CreateRunRequest, path: str, workspace: str, checks: Checks
    ) -> tuple[Labels, RunKind]:
        run = request.run
        labels = _labels(run, path, checks)
        run.ClearField("tags")
        run.ClearField("properties")
        key = (workspace, request.SerializeToString())
        kind = self._kinds.get(key)
        if kind is None:
            kind = _decode_kind(request, path, workspace, checks)
            checks.done()
            _remember(self._kinds, key, kind)
        return labels, kind


def _remember(memory: dict[tuple[str, bytes], _V], key: tuple[str, bytes], value: _V) -> None:
    if len(key[1]) > _REMEMBERED_BYTES:
        return
    if len(memory) >= _REMEMBERED and key not in memory:
        memory.clear()
    memory[key] = value


def _labels(run: run_pb2.Run, path: str, checks: Checks) -> Labels:
    tags: Tags = {tag.key: tag.value or ("" if tag.HasField("value") else None) for tag in run.tags}
    properties: Properties = dict(run.properties)
    if len(tags) < len(run.tags) or not limits.are_usual(tags, properties):
        tags = decode_tags(checks, f"{path}run.tags", run.tags)
        properties = decode_properties(checks, f"{path}run.properties", properties)
    return Labels(tags, properties)


def _decode_kind(request: CreateRunRequest, path: str, workspace: str, checks: Checks) -> RunKind:
    run, at = request.run, f"{path}run."
    start_time = decode_told_time(checks, request, "start_time", path)
    if start_time is not None and not request.start:
        checks.fail(f"{path}start_time", "only a run that is started has one; set start as well")
    return RunKind(
        experiment=_experiment(run, at, workspace),
        parent=_parent(run, at, workspace),
        run_type=checks.text(f"{at}run_type", run.run_type, limits.RUN_TYPE),
        description=checks.text(f"{at}description", run.description, limits.DESCRIPTION),
        heartbeat_enabled=run.heartbeat_enabled,
        creator=checks.text(f"{at}creator", run.creator, limits.CREATOR),
        target=checks.text(f"{at}target", run.target, limits.TARGET),
        service_managed=run.service_managed,
        max_run_duration=checks.run_duration(f"{at}max_run_duration", decode_duration(run.max_run_duration))
        if run.HasField("max_run_duration")
        else None,
        hidden=run.hidden,
        script_name=checks.text(f"{at}script_name", run.script_name, limits.SCRIPT_NAME),
        label=checks.text(f"{at}label", run.label, limits.LABEL),
        start=request.start,
        start_time=start_time,
    )


def decode_told_time(checks: Checks, request: Message, field: str, path: str = "") -> datetime | None:
    """The time that a request tells in a field; None if it tells none."""
    told = decode_time(getattr(request, field)) if request.HasField(field) else None
    return checks.time(f"{path}{field}", told)


def _experiment(run: run_pb2.Run, at: str, workspace: str) -> str | None:
    if not run.experiment:
        if not run.parent:
            raise InvalidField(f"{at}experiment", "required for a run without a parent")
        return None
    name = ExperimentName.parse(run.experiment, f"{at}experiment")
    if name.workspace != workspace:
        raise InvalidField(f"{at}experiment", f"{name} is of another workspace than the run")
    return name.experiment


def _parent(run: run_pb2.Run, at: str, workspace: str) -> str | None:
    if not run.parent:
        return None
    name = RunName.parse(run.parent, f"{at}parent")
    if name.workspace != workspace:
        raise InvalidField(f"{at}parent", f"{name} is of another workspace than the run")
    return name.run


def decode_tags(checks: Checks, field: str, tags: Sequence[workspace_pb2.Tag], longest: int = limits.VALUE) -> Tags:
    """Tags with values of up to `longest` characters; those without a value are marks."""
    return checks.tags(field, [(tag.key, tag.value if tag.HasField("value") else None) for tag in tags], longest)


def decode_properties(checks: Checks, field: str, properties: Mapping[str, str]) -> Properties:
    """Properties; addresses in them lose their credentials."""
    return without_credentials(checks.properties(field, dict(properties)))


def decode_edits(field: str, message: experiment_pb2.Experiment, mask: FieldMask) -> Edits:
    """The new values that a mask names, of display_name, description and tags."""
    paths = decode_mask(mask, ("display_name", "description", "tags"))
    checks = Checks()
    edits = _decode_edits(checks, field, message, paths)
    checks.done()
    return edits


def _decode_edits(
    checks: Checks, field: str, message: workspace_pb2.Workspace | experiment_pb2.Experiment, paths: frozenset[str]
) -> Edits:
    return Edits(
        display_name=_edited_name(checks, f"{field}.display_name", message) if "display_name" in paths else None,
        description=checks.text(f"{field}.description", message.description, limits.DESCRIPTION)
        if "description" in paths
        else None,
        tags=decode_tags(checks, f"{field}.tags", message.tags, _longest_tag(message)) if "tags" in paths else None,
    )


def _longest_tag(message: workspace_pb2.Workspace | experiment_pb2.Experiment) -> int:
    return limits.EXPERIMENT_TAG if isinstance(message, experiment_pb2.Experiment) else limits.VALUE


def decode_log_retention(checks: Checks, field: str, message: workspace_pb2.Workspace) -> timedelta | None:
    """For how long log files are kept; None for ever."""
    if not message.HasField("log_retention"):
        return None
    return checks.log_retention(field, decode_duration(message.log_retention))


def decode_workspace_edits(field: str, message: workspace_pb2.Workspace, mask: FieldMask) -> WorkspaceEdits:
    """The new values that a mask names, of display_name, description, tags and log_retention."""
    paths = decode_mask(mask, ("display_name", "description", "tags", "log_retention"))
    checks = Checks()
    edits = _decode_edits(checks, field, message, paths)
    retention = decode_log_retention(checks, f"{field}.log_retention", message) if "log_retention" in paths else None
    checks.done()
    return WorkspaceEdits(edits.display_name, edits.description, edits.tags, retention, "log_retention" in paths)


def _edited_name(checks: Checks, field: str, message: workspace_pb2.Workspace | experiment_pb2.Experiment) -> str:
    if isinstance(message, experiment_pb2.Experiment):
        return checks.experiment_display_name(field, message.display_name)
    return checks.filled(field, message.display_name, limits.DISPLAY_NAME)


def decode_run_edits(run: run_pb2.Run, mask: FieldMask, now: datetime) -> tuple[RunEdits, RunStatus | None]:
    """The new values that a mask names, and the status to enter if it names that."""
    paths = decode_mask(mask, ("display_name", "description", "hidden", "status", "error"))
    checks = Checks()
    edits = RunEdits(
        display_name=checks.filled("run.display_name", run.display_name, limits.DISPLAY_NAME)
        if "display_name" in paths
        else None,
        description=checks.text("run.description", run.description, limits.DESCRIPTION)
        if "description" in paths
        else None,
        hidden=run.hidden if "hidden" in paths else None,
        error=decode_error(checks, "run.error", run.error, now) if "error" in paths else None,
    )
    status = STATUSES.get(run.status) if "status" in paths else None
    if "status" in paths and status is None:
        checks.fail("run.status", "required: one of the statuses of RunStatus")
    checks.done()
    return edits, status


def decode_mask(mask: FieldMask, allowed: Sequence[str]) -> frozenset[str]:
    """The paths of a mask: at least one, all of them allowed."""
    paths = frozenset(mask.paths)
    if not paths or not paths <= frozenset(allowed):
        raise InvalidField("update_mask", f"expected one or more of {', '.join(allowed)}; got {sorted(paths)!r:.200}")
    return paths


def decode_error(checks: Checks, field: str, error: run_pb2.RunError, now: datetime) -> RunError:
    """An error; texts that are too long are cut, with a mark."""
    return RunError(
        code=checks.text(f"{field}.code", error.code, limits.ERROR_CODE) or "UserError",
        message=limits.cut_end(without_nul(error.message), limits.ERROR_MESSAGE),
        exception_type=checks.text(f"{field}.exception_type", error.exception_type, limits.EXCEPTION_TYPE),
        stack_trace=limits.cut_middle(without_nul(error.stack_trace), limits.STACK_TRACE),
        time=now,
    )


def without_nul(text: str) -> str:
    """Text of a program that must not fail to be recorded: NUL, which cannot be stored, becomes its picture."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}") if "\0" in text else text


def decode_warnings(warnings: Sequence[run_pb2.RunWarning], now: datetime) -> Sequence[RunWarning]:
    """Warnings; messages that are too long are cut, with a mark."""
    checks = Checks()
    checks.count("warnings", len(warnings), limits.WARNINGS_PER_CALL)
    decoded = [
        RunWarning(
            checks.text(f"warnings[{index}].source", warning.source, limits.WARNING_SOURCE),
            limits.cut_end(without_nul(warning.message), limits.WARNING_MESSAGE),
            now,
        )
        for index, warning in enumerate(warnings)
    ]
    checks.done()
    return decoded


def decode_run_names(names: Sequence[str], workspace: str, *, least: int = 1) -> Sequence[str]:
    """The identifiers of up to 1,000 runs of one workspace."""
    if not least <= len(names) <= limits.NAMES:
        raise InvalidField("names", f"expected {least} to {limits.NAMES} names; got {len(names)}")
    decoded = []
    for index, text in enumerate(names):
        name = RunName.parse(text, f"names[{index}]")
        if name.workspace != workspace:
            raise InvalidField(f"names[{index}]", f"{name} is not of workspaces/{workspace}")
        decoded.append(name.run)
    return decoded


def decode_workspace_name(text: str, field: str) -> str:
    """The identifier of a workspace."""
    return WorkspaceName.parse(text, field).workspace


def decode_summaries(checks: Checks, field: str, summaries: Sequence[run_pb2.MetricSummary]) -> Sequence[MetricSummary]:
    """Metric summaries with distinct metrics."""
    checks.count(field, len(summaries), limits.SUMMARIES_PER_RUN)
    decoded = [_summary(checks, f"{field}[{index}]", summary) for index, summary in enumerate(summaries)]
    if len({summary.metric for summary in decoded}) < len(decoded):
        checks.fail(field, "a metric is there twice; metrics are distinct")
    return decoded


def _summary(checks: Checks, field: str, summary: run_pb2.MetricSummary) -> MetricSummary:
    checks.filled(f"{field}.metric", summary.metric, limits.METRIC)
    least = summary.min if summary.HasField("min") else None
    most = summary.max if summary.HasField("max") else None
    if least != least or most != most:
        checks.fail(field, "min and max are not NaN; leave them out when no other number was logged")
    if summary.count < 0 or summary.revision < 0:
        checks.fail(field, "count and revision are 0 or more")
    last = summary.last if summary.HasField("last") else None
    return MetricSummary(summary.metric, last, least, most, summary.count, summary.revision)
