"""Things that are not there, or that a caller may not know of: both are told in the same words."""

from runstream_server.errors import NotFound
from runstream_server.names import (
    ComputeTargetName,
    EnvironmentName,
    ExperimentName,
    RunName,
    SnapshotName,
    WorkspaceName,
)


class WorkspaceNotFound(NotFound):
    """No workspace has the name."""

    reason = "WORKSPACE_NOT_FOUND"

    def __init__(self, name: WorkspaceName) -> None:
        super().__init__(f"{name} does not exist; create it, or check the spelling", workspace=name)


class ExperimentNotFound(NotFound):
    """No experiment has the name."""

    reason = "EXPERIMENT_NOT_FOUND"

    def __init__(self, name: ExperimentName) -> None:
        super().__init__(f"{name} does not exist; create it, or check the spelling", experiment=name)


class RunNotFound(NotFound):
    """No run has the name."""

    reason = "RUN_NOT_FOUND"

    def __init__(self, name: RunName) -> None:
        super().__init__(f"{name} does not exist; check the spelling", run=name)


class JobNotFound(NotFound):
    """The run does not exist, or was not submitted."""

    reason = "JOB_NOT_FOUND"

    def __init__(self, name: RunName) -> None:
        super().__init__(f"{name} does not exist or was not submitted", run=name)


class ComputeTargetNotFound(NotFound):
    """No compute target has the name."""

    reason = "COMPUTE_TARGET_NOT_FOUND"

    def __init__(self, name: ComputeTargetName) -> None:
        super().__init__(f"no compute target has the name {name}; every workspace has `local`", compute_target=name)


class EnvironmentNotFound(NotFound):
    """No environment has the name, or not this version."""

    reason = "ENVIRONMENT_NOT_FOUND"

    def __init__(self, name: EnvironmentName) -> None:
        super().__init__(f"{name} does not exist; register the environment, or check the spelling", environment=name)


class SnapshotNotFound(NotFound):
    """No snapshot has the name."""

    reason = "SNAPSHOT_NOT_FOUND"

    def __init__(self, name: SnapshotName) -> None:
        super().__init__(f"no snapshot has the name {name}; check it, or create the snapshot first", snapshot=name)
