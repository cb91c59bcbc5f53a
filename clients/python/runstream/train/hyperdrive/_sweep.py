"""A sweep as its driver finds it: the file `sweep.json` of its snapshot."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from runstream.api.jobs.v1.job_pb2 import JobDefinition
from runstream.core._job.definition import JobPlan
from runstream.train.hyperdrive.parameter_expressions import Expression
from runstream.train.hyperdrive.policy import EarlyTerminationPolicy, policy_of
from runstream.train.hyperdrive.runconfig import PrimaryMetricGoal
from runstream.train.hyperdrive.sampling import (
    BayesianParameterSampling,
    GridParameterSampling,
    HyperParameterSampling,
    RandomParameterSampling,
)

FILE: Final = "sweep.json"
HYPERPARAMETERS_TAG: Final = "hyperparameters"
"""Of each run of a sweep: its values as a JSON object."""
NUMBERS_PROPERTY: Final = "runstream.sweep.numbers"
"""Of each run of a sweep: the numbers that its values are made of, as a JSON object."""
STOPPED_PROPERTY: Final = "runstream.sweep.stopped_by"
"""Of a run that the policy decided against: the name of the policy. Written before the run is cancelled."""
REPLACES_PROPERTY: Final = "runstream.sweep.replaces"
"""Of a run in the place of one that no runner has started: the index of that one."""
METRIC_PROPERTY: Final = "primary_metric_config"
"""Of the sweep: the name and the goal of the primary metric, as a JSON object."""

_SAMPLINGS: Mapping[str, type[HyperParameterSampling]] = {
    sampling.method: sampling
    for sampling in (RandomParameterSampling, GridParameterSampling, BayesianParameterSampling)
}


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a sweep tries, and how."""

    sampling: HyperParameterSampling
    policy: EarlyTerminationPolicy
    metric: str
    goal: PrimaryMetricGoal
    max_total_runs: int
    max_concurrent_runs: int
    seed: int
    plan: JobPlan
    """The job of each run, without its hyperparameters."""

    properties: Mapping[str, str]
    """Of each run."""

    resume_from: Sequence[str] = field(default_factory=tuple)
    """The ids of earlier sweeps to learn from."""

    def turned(self, value: float) -> float:
        """A value of the primary metric, so that more is better; turning it again gives the value."""
        return value if self.goal is PrimaryMetricGoal.MAXIMIZE else -value

    def to_json(self) -> str:
        """The text of the file."""
        space = {name: each.to_document() for name, each in self.sampling.parameter_space.items()}
        document = {
            "format": 1,
            "sampling": {"method": self.sampling.method, "space": space},
            "policy": self.policy.to_document(),
            "primary_metric": {"name": self.metric, "goal": self.goal.value},
            "max_total_runs": self.max_total_runs,
            "max_concurrent_runs": self.max_concurrent_runs,
            "seed": self.seed,
            "run": {
                "definition": base64.b64encode(self.plan.definition.SerializeToString()).decode(),
                "target": self.plan.target,
                "max_run_duration_seconds": self.plan.max_run_duration_seconds,
                "properties": dict(self.properties),
            },
            "resume_from": list(self.resume_from),
        }
        return json.dumps(document, indent=2)

    @classmethod
    def read(cls, folder: Path) -> "Sweep":
        """The sweep of a folder."""
        document: dict[str, Any] = json.loads((folder / FILE).read_text())
        sampling, metric, run = document["sampling"], document["primary_metric"], document["run"]
        space = {name: Expression.of_document(each) for name, each in sampling["space"].items()}
        plan = JobPlan(
            definition=JobDefinition.FromString(base64.b64decode(run["definition"])),
            target=run["target"],
            source_directory=None,
            max_run_duration_seconds=run["max_run_duration_seconds"],
        )
        return cls(
            sampling=_SAMPLINGS[sampling["method"]](space),
            policy=policy_of(document["policy"]),
            metric=metric["name"],
            goal=PrimaryMetricGoal(metric["goal"]),
            max_total_runs=document["max_total_runs"],
            max_concurrent_runs=document["max_concurrent_runs"],
            seed=document["seed"],
            plan=plan,
            properties=run["properties"],
            resume_from=document["resume_from"],
        )


def hyperparameter_arguments(values: Mapping[str, Any]) -> list[str]:
    """The arguments that tell a script its hyperparameters."""
    return [
        text for name, value in values.items() for text in (name if name.startswith("-") else f"--{name}", str(value))
    ]
