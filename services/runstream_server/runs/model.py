"""What the service keeps: values without behaviour. Names in them are identifiers, not resource names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from runstream_server.runs.status import RunStatus

Tags = Mapping[str, str | None]
"""Values by key; None for a mark, a tag without a value."""

Properties = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant."""

    workspace: str
    display_name: str
    description: str
    tags: Tags
    create_time: datetime
    update_time: datetime

    log_retention: timedelta | None
    """For how long log files are kept; None: for ever."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """A named folder of runs."""

    workspace: str
    experiment: str
    display_name: str
    description: str
    tags: Tags
    create_time: datetime
    update_time: datetime
    archive_time: datetime | None


@dataclass(frozen=True, slots=True)
class Edits:
    """New values of a workspace or an experiment; None leaves the old one."""

    display_name: str | None = None
    description: str | None = None
    tags: Tags | None = None


@dataclass(frozen=True, slots=True)
class WorkspaceEdits(Edits):
    """New values of a workspace."""

    log_retention: timedelta | None = None
    sets_log_retention: bool = False
    """Whether `log_retention` is a new value, which may be none."""


@dataclass(frozen=True, slots=True)
class RunError:
    """What went wrong with a run."""

    code: str
    message: str
    exception_type: str
    stack_trace: str
    time: datetime


@dataclass(frozen=True, slots=True)
class RunWarning:
    """Something to know about a run."""

    source: str
    message: str
    time: datetime


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One entry of a status history."""

    status: RunStatus
    time: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """What is known of one metric of a run. NaN is possible for `last` only."""

    metric: str
    last: float | None
    min: float | None
    max: float | None
    count: int
    revision: int


class RunKind(NamedTuple):
    """What runs to create may have in common: many of a batch, and those that one program makes over time."""

    experiment: str | None
    parent: str | None
    run_type: str
    description: str
    heartbeat_enabled: bool
    creator: str
    target: str
    service_managed: bool
    max_run_duration: timedelta | None
    hidden: bool
    script_name: str
    label: str
    start: bool

    start_time: datetime | None = None
    """When it started, if the caller says so; not used if that is later than the creation."""


class Labels(NamedTuple):
    """What people and programs know a run by."""

    tags: Tags
    properties: Properties


class NewRun(NamedTuple):
    """A run to create, complete but for what only the store knows. Runs may share labels and kind: nobody changes them.

    A tuple: there may be 10,000 at once.
    """

    run: str
    display_name: str
    labels: Labels
    kind: RunKind


class Run(NamedTuple):
    """A run as stored. The order of the fields is that of `store.columns.RUN`."""

    workspace: str
    run: str
    experiment: str
    experiment_display_name: str
    parent: str | None
    root: str
    number: int
    run_type: str
    display_name: str
    description: str
    status: RunStatus
    tags: Tags
    properties: Properties
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    update_time: datetime
    heartbeat_enabled: bool
    error: RunError | None
    warnings: Sequence[RunWarning]
    creator: str
    target: str
    service_managed: bool
    max_run_duration: timedelta | None
    cancel_request_time: datetime | None
    hidden: bool
    delete_time: datetime | None
    script_name: str
    label: str
    experiment_archive_time: datetime | None


@dataclass(frozen=True, slots=True)
class RunEdits:
    """New values of a run; None leaves the old one."""

    display_name: str | None = None
    description: str | None = None
    hidden: bool | None = None
    error: RunError | None = None


class Position(NamedTuple):
    """A place in the order in which runs change: everything up to and with it is known."""

    xid: int
    """The number of the transaction that made the change."""

    run: str
    """The run; empty: every run changed by transactions below `xid`, and none by it."""
