"""What can go wrong with workspaces, experiments and runs."""

from typing import TypeVar

from runstream_server import not_found
from runstream_server.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    RunstreamError,
)
from runstream_server.names import ExperimentName, RunName, WorkspaceName
from runstream_server.runs.status import RunStatus

E = TypeVar("E", bound=RunstreamError)


def of_request(error: E, position: int) -> E:
    """The error of one request of a batch, made to say which one it was."""
    error.message = f"requests[{position}]: {error.message}"
    error.args = (error.message,)
    error.metadata["position"] = str(position)
    return error


class ListingTooSlow(DeadlineExceeded):
    """A listing took longer than a statement may."""

    def __init__(self) -> None:
        RunstreamError.__init__(
            self,
            "the listing takes too long; narrow the filter, by an experiment or a time for example, or order by time",
        )


class WorkspaceNotFound(not_found.WorkspaceNotFound):
    """No workspace has this name."""

    def __init__(self, workspace: str) -> None:
        super().__init__(WorkspaceName(workspace))


class WorkspaceExists(AlreadyExists):
    """The name is taken."""

    reason = "WORKSPACE_EXISTS"

    def __init__(self, workspace: str) -> None:
        name = WorkspaceName(workspace)
        super().__init__(f"{name} exists; set return_existing to use it, or choose another name", workspace=name)


class WorkspaceNotEmpty(FailedPrecondition):
    """The workspace holds experiments."""

    reason = "WORKSPACE_NOT_EMPTY"

    def __init__(self, workspace: str) -> None:
        name = WorkspaceName(workspace)
        super().__init__(f"{name} holds experiments; delete them first", workspace=name)


class ExperimentNotFound(not_found.ExperimentNotFound):
    """No experiment has this name."""

    def __init__(self, workspace: str, experiment: str) -> None:
        super().__init__(ExperimentName(workspace, experiment))


class ExperimentExists(AlreadyExists):
    """An active experiment has this display name."""

    reason = "EXPERIMENT_EXISTS"

    def __init__(self, workspace: str, display_name: str) -> None:
        super().__init__(
            f"an active experiment of {WorkspaceName(workspace)} is called {display_name!r}; set return_existing to use"
            " it, archive it, or choose another display name",
            workspace=WorkspaceName(workspace),
            display_name=display_name,
        )


class ExperimentNotEmpty(FailedPrecondition):
    """The experiment holds runs."""

    reason = "EXPERIMENT_NOT_EMPTY"

    def __init__(self, workspace: str, experiment: str) -> None:
        name = ExperimentName(workspace, experiment)
        super().__init__(f"{name} holds runs; archive it instead", experiment=name)


class RunNotFound(not_found.RunNotFound):
    """No run has this name."""

    def __init__(self, workspace: str, run: str) -> None:
        super().__init__(RunName(workspace, run))


class RunExists(AlreadyExists):
    """Another request made a run with this id."""

    reason = "RUN_EXISTS"

    def __init__(self, workspace: str, run: str) -> None:
        name = RunName(workspace, run)
        super().__init__(f"{name} exists; choose another run_id, or leave it out", run=name)


class ExperimentMismatch(FailedPrecondition):
    """The parent of a new run belongs to another experiment."""

    reason = "EXPERIMENT_MISMATCH"

    def __init__(self, workspace: str, experiment: str, parent: str, of_parent: str) -> None:
        asked, actual = ExperimentName(workspace, experiment), ExperimentName(workspace, of_parent)
        parent_name = RunName(workspace, parent)
        super().__init__(
            f"the parent {parent_name} belongs to {actual}, not to {asked}; leave experiment out to use the parent's",
            parent=parent_name,
            experiment=asked,
            parent_experiment=actual,
        )


class InvalidStatusChange(FailedPrecondition):
    """The asked status cannot follow the present one."""

    reason = "INVALID_STATUS_CHANGE"

    def __init__(self, workspace: str, run: str, present: RunStatus, asked: RunStatus) -> None:
        name = RunName(workspace, run)
        super().__init__(
            f"{name} is {present}, which {asked} cannot follow", run=name, present_status=present, asked_status=asked
        )


class RunManaged(FailedPrecondition):
    """A runner drives the run."""

    reason = "RUN_MANAGED"

    def __init__(self, workspace: str, run: str, present: RunStatus) -> None:
        name = RunName(workspace, run)
        super().__init__(
            f"{name} is {present}, and its status follows the process that a runner drives; cancel or fail it instead",
            run=name,
            present_status=present,
        )


class PropertyConflict(FailedPrecondition):
    """A property exists with another value."""

    reason = "PROPERTY_CONFLICT"

    def __init__(self, workspace: str, run: str, key: str, old: str, new: str) -> None:
        name = RunName(workspace, run)
        super().__init__(
            f"{name} has property {key!r} = {old[:200]!r} already, and properties never change;"
            f" {new[:200]!r} needs another key, or a tag",
            run=name,
            key=key,
            old=old,
            new=new,
        )


class TooManyTags(FailedPrecondition):
    """More tags would result than one run or experiment may have."""

    reason = "TOO_MANY_TAGS"

    def __init__(self, limit: int, size_bytes: int) -> None:
        super().__init__(
            f"there may be {limit} tags that take {size_bytes} bytes together; remove some first",
            limit=limit,
            size_bytes=size_bytes,
        )


class TooManyProperties(FailedPrecondition):
    """More properties would result than one run may have."""

    reason = "TOO_MANY_PROPERTIES"

    def __init__(self, limit: int, size_bytes: int) -> None:
        super().__init__(
            f"there may be {limit} properties that take {size_bytes} bytes together; write the rest into an artifact",
            limit=limit,
            size_bytes=size_bytes,
        )


class InvalidFilter(InvalidArgument):
    """A filter is wrong."""

    reason = "INVALID_FILTER"

    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(f"filter, line {line}, column {column}: {problem}", line=line, column=column)


class InvalidOrder(InvalidArgument):
    """An order is wrong."""

    reason = "INVALID_ORDER"

    def __init__(self, problem: str) -> None:
        super().__init__(f"order_by: {problem}")


class InvalidResumeToken(InvalidArgument):
    """A resume token is not from a watch of this workspace."""

    reason = "INVALID_RESUME_TOKEN"

    def __init__(self) -> None:
        super().__init__(
            "the resume token is not from a watch of this workspace; start a new watch with include_present"
        )
