"""Resource names: what `workspaces/{workspace}/runs/{run}` and the like are made of."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Self

from runstream_server.errors import InvalidField

_WORKSPACE = re.compile(r"[A-Za-z0-9_\-]{3,33}")
_EXPERIMENT = re.compile(r"[A-Za-z0-9\-]{1,36}")
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,254}")
_AGENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}")
_SNAPSHOT = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"[0-9a-f]{32}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_RUN = re.compile(r"\w[\w.:+@=\-]{0,255}")

_WORKSPACE_RULE = "3 to 33 letters, digits, - and _"
_EXPERIMENT_RULE = "an identifier made by the service"
_RUN_RULE = "1 to 256 letters, digits and _ - . : + @ =, the first a letter, a digit or _"


def check_workspace_id(text: str, field: str) -> str:
    """Returns `text` if it can be the `{workspace}` part of a name; raises InvalidField otherwise."""
    return _matching(_WORKSPACE, text, field, f"a workspace id is {_WORKSPACE_RULE}")


def check_run_id(text: str, field: str) -> str:
    """Returns `text` if it can be the `{run}` part of a name; raises InvalidField otherwise."""
    return _matching(_RUN, text, field, f"a run id is {_RUN_RULE}")


def _matching(pattern: re.Pattern[str], text: str, field: str, rule: str) -> str:
    if not pattern.fullmatch(text) or not unicodedata.is_normalized("NFC", text):
        raise InvalidField(field, f"{rule}; got {text[:80]!r}")
    return text


@dataclass(frozen=True, order=True)
class WorkspaceName:
    """`workspaces/{workspace}`."""

    workspace: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> Self:
        """Takes a name apart; raises InvalidField if it is none."""
        match text.split("/"):
            case ["workspaces", workspace] if _WORKSPACE.fullmatch(workspace):
                return cls(workspace)
        raise InvalidField(field, f"expected workspaces/WORKSPACE with {_WORKSPACE_RULE}; got {text[:80]!r}")

    def __str__(self) -> str:
        return f"workspaces/{self.workspace}"


@dataclass(frozen=True, order=True)
class ExperimentName:
    """`workspaces/{workspace}/experiments/{experiment}`."""

    workspace: str
    experiment: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> Self:
        """Takes a name apart; raises InvalidField if it is none."""
        match text.split("/"):
            case ["workspaces", workspace, "experiments", experiment] if _WORKSPACE.fullmatch(
                workspace
            ) and _EXPERIMENT.fullmatch(experiment):
                return cls(workspace, experiment)
        raise InvalidField(
            field, f"expected workspaces/WORKSPACE/experiments/EXPERIMENT with {_EXPERIMENT_RULE}; got {text[:120]!r}"
        )

    def __str__(self) -> str:
        return f"workspaces/{self.workspace}/experiments/{self.experiment}"


@dataclass(frozen=True, order=True)
class RunName:
    """`workspaces/{workspace}/runs/{run}`."""

    workspace: str
    run: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> Self:
        """Takes a name apart; raises InvalidField if it is none."""
        match text.split("/"):
            case ["workspaces", workspace, "runs", run] if (
                _WORKSPACE.fullmatch(workspace) and _RUN.fullmatch(run) and unicodedata.is_normalized("NFC", run)
            ):
                return cls(workspace, run)
        raise InvalidField(field, f"expected workspaces/WORKSPACE/runs/RUN with {_RUN_RULE}; got {text[:120]!r}")

    def __str__(self) -> str:
        return f"workspaces/{self.workspace}/runs/{self.run}"


@dataclass(frozen=True, order=True)
class ComputeTargetName:
    """`workspaces/{workspace}/computeTargets/{compute_target}`."""

    workspace: str
    compute_target: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> Self:
        """Takes a name apart; raises InvalidField if it is none."""
        match text.split("/"):
            case ["workspaces", workspace, "computeTargets", target] if _WORKSPACE.fullmatch(
                workspace
            ) and _RUN.fullmatch(target):
                return cls(workspace, target)
        raise InvalidField(field, f"expected workspaces/WORKSPACE/computeTargets/TARGET; got {text[:120]!r}")

    def __str__(self) -> str:
        return f"workspaces/{self.workspace}/computeTargets/{self.compute_target}"


@dataclass(frozen=True, order=True)
class AgentName:
    """`workspaces/{workspace}/computeTargets/{compute_target}/agents/{agent}`."""

    target: ComputeTargetName
    agent: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> Self:
        """Takes a name apart; raises InvalidField if it is none."""
        target, _, agent = text.rpartition("/agents/")
        if not _AGENT.fullmatch(agent):
            raise InvalidField(
                field,
                "expected workspaces/WORKSPACE/computeTargets/TARGET/agents/AGENT with an agent of 1 to 255 letters,"
                f" digits and _ - ., the first a letter, a digit or _; got {text[:120]!r}",
            )
        return cls(ComputeTargetName.parse(target, field), agent)

    def __str__(self) -> str:
        return f"{self.target}/agents/{self.agent}"


@dataclass(frozen=True, order=True)
class EnvironmentName:
    """`workspaces/{workspace}/environments/{environment}`, and a version of it or the latest one."""

    workspace: str
    environment: str

    version: int | None = None
    """None: the latest one."""

    @classmethod
    def parse(cls, text: str, field: str = "name") -> Self:
        """Takes a name apart; raises InvalidField if it is none."""
        match text.split("/"):
            case ["workspaces", workspace, "environments", environment, *rest] if _WORKSPACE.fullmatch(
                workspace
            ) and _ENVIRONMENT.fullmatch(environment):
                match rest:
                    case []:
                        return cls(workspace, environment)
                    case ["versions", version] if _VERSION.fullmatch(version):
                        return cls(workspace, environment, int(version))
        raise InvalidField(
            field,
            "expected workspaces/WORKSPACE/environments/ENVIRONMENT, with /versions/NUMBER for a version;"
            f" got {text[:120]!r}",
        )

    def __str__(self) -> str:
        name = f"workspaces/{self.workspace}/environments/{self.environment}"
        return name if self.version is None else f"{name}/versions/{self.version}"


@dataclass(frozen=True, order=True, slots=True)
class SnapshotName:
    """`workspaces/{workspace}/snapshots/{snapshot}`."""

    workspace: str
    snapshot: str
    """SHA-256 of the manifest, as 64 lower-case hexadecimal digits."""

    @classmethod
    def parse(cls, text: str, field: str = "name") -> Self:
        """Takes a name apart; raises InvalidField if it is none."""
        parent, _, snapshot = text.rpartition("/snapshots/")
        if not _SNAPSHOT.fullmatch(snapshot):
            raise InvalidField(
                field, f"expected workspaces/WORKSPACE/snapshots/SNAPSHOT with 64 digits; got {text[:160]!r}"
            )
        return cls(WorkspaceName.parse(parent, field).workspace, snapshot)

    def __str__(self) -> str:
        return f"workspaces/{self.workspace}/snapshots/{self.snapshot}"


@dataclass(frozen=True, order=True)
class TokenName:
    """`workspaces/{workspace}/tokens/{token}`, or `tokens/{token}` for one of no workspace."""

    workspace: str
    """Empty: none."""

    token: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> Self:
        """Takes a name apart that has a workspace; raises InvalidField if it is none."""
        match text.split("/"):
            case ["workspaces", workspace, "tokens", token] if _WORKSPACE.fullmatch(workspace) and _TOKEN.fullmatch(
                token
            ):
                return cls(workspace, token)
        raise InvalidField(field, f"expected workspaces/WORKSPACE/tokens/TOKEN; got {text[:120]!r}")

    def __str__(self) -> str:
        return f"workspaces/{self.workspace}/tokens/{self.token}" if self.workspace else f"tokens/{self.token}"
