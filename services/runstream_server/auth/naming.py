"""What a request names, and what is told of it where a caller may not know of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from operator import attrgetter
from typing import Any, Protocol, TypeAlias

from runstream_server.auth.errors import TokenNotFound
from runstream_server.errors import RunstreamError
from runstream_server.names import (
    AgentName,
    ComputeTargetName,
    EnvironmentName,
    ExperimentName,
    RunName,
    SnapshotName,
    TokenName,
    WorkspaceName,
    check_workspace_id,
)
from runstream_server.not_found import (
    ComputeTargetNotFound,
    EnvironmentNotFound,
    ExperimentNotFound,
    JobNotFound,
    RunNotFound,
    SnapshotNotFound,
    WorkspaceNotFound,
)


class Kind(Enum):
    """What a name is of."""

    WORKSPACE = auto()

    NEW_WORKSPACE = auto()
    """The `{workspace}` part alone, of one to be made."""

    EXPERIMENT = auto()
    RUN = auto()

    JOB = auto()
    """A run that was submitted."""

    ABOVE = auto()
    """The run above one to be made. A token of a run has to name one."""

    RUN_OR_EXPERIMENT = auto()
    COMPUTE_TARGET = auto()
    AGENT = auto()
    ENVIRONMENT = auto()
    SNAPSHOT = auto()
    TOKEN = auto()


class _InWorkspace(Protocol):
    @property
    def workspace(self) -> str: ...


Name: TypeAlias = _InWorkspace
"""The name of something that belongs to a workspace, or of one."""


@dataclass(frozen=True)
class Named:
    """A field of a request that names something."""

    path: str
    """Where it is, `run.parent` for example; through repeated fields as well."""

    kind: Kind

    optional: bool = False
    """Whether it may be empty; else the message is refused as it would be without authorisation."""

    of_parent: bool = False
    """Whether the service itself refuses names of another workspace than that of `parent`."""

    @cached_property
    def _direct(self) -> Callable[[Any], Any]:
        return attrgetter(self.path)

    @cached_property
    def _parts(self) -> Sequence[str]:
        return self.path.split(".")

    def texts(self, request: Any) -> Sequence[str]:
        """What the field says: nothing, one text, or several of a repeated field."""
        try:
            text = self._direct(request)
        except AttributeError:  # it goes through a repeated field
            return [each for each in _texts(request, self._parts) if each or not self.optional]
        if isinstance(text, str):
            return (text,) if text or not self.optional else ()
        return text  # type: ignore[no-any-return]

    def leaves_out(self, request: Any) -> bool:
        """Whether the field is empty, or one of several is."""
        return not all(_texts(request, self._parts))

    def parse(self, text: str) -> Name:
        """Takes a name apart; raises InvalidField if it is none."""
        return _PARSERS[self.kind](text, self.path)

    def missing(self, name: Name) -> RunstreamError:
        """What is told where nothing has the name, or the caller may not know of it."""
        return _MISSING[type(name) if self.kind is not Kind.JOB else Kind.JOB](name)


def _texts(message: Any, parts: Sequence[str]) -> Iterator[str]:
    found = getattr(message, parts[0])
    for each in [found] if isinstance(found, str) or hasattr(found, "DESCRIPTOR") else found:
        if len(parts) == 1:
            yield each
        else:
            yield from _texts(each, parts[1:])


def _run_or_experiment(text: str, field: str) -> Name:
    return ExperimentName.parse(text, field) if "/experiments/" in text else RunName.parse(text, field)


def _agent_target(text: str, field: str) -> Name:
    return AgentName.parse(text, field).target


_PARSERS: Mapping[Kind, Callable[[str, str], Name]] = {
    Kind.WORKSPACE: WorkspaceName.parse,
    Kind.NEW_WORKSPACE: lambda text, field: WorkspaceName(check_workspace_id(text, field)),
    Kind.EXPERIMENT: ExperimentName.parse,
    Kind.RUN: RunName.parse,
    Kind.JOB: RunName.parse,
    Kind.ABOVE: RunName.parse,
    Kind.RUN_OR_EXPERIMENT: _run_or_experiment,
    Kind.COMPUTE_TARGET: ComputeTargetName.parse,
    Kind.AGENT: _agent_target,
    Kind.ENVIRONMENT: EnvironmentName.parse,
    Kind.SNAPSHOT: SnapshotName.parse,
    Kind.TOKEN: TokenName.parse,
}
_MISSING: Mapping[object, Callable[[Any], RunstreamError]] = {
    WorkspaceName: WorkspaceNotFound,
    ExperimentName: ExperimentNotFound,
    RunName: RunNotFound,
    Kind.JOB: JobNotFound,
    ComputeTargetName: ComputeTargetNotFound,
    EnvironmentName: EnvironmentNotFound,
    SnapshotName: SnapshotNotFound,
    TokenName: TokenNotFound,
}
