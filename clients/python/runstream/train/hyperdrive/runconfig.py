"""What a sweep of runs tries."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from runstream.core.script_run_config import ScriptRunConfig
from runstream.exceptions import UserErrorException
from runstream.train.hyperdrive.policy import EarlyTerminationPolicy, NoTerminationPolicy
from runstream.train.hyperdrive.sampling import HyperParameterSampling

__all__ = ["HyperDriveConfig", "PrimaryMetricGoal"]

MOST_RUNS: Final = 1000
MOST_AT_ONCE: Final = 100
MOST_MINUTES: Final = 43200


class PrimaryMetricGoal(Enum):
    """Whether more or less of the primary metric is better."""

    MAXIMIZE = "MAXIMIZE"
    MINIMIZE = "MINIMIZE"

    @staticmethod
    def from_str(goal: str) -> "PrimaryMetricGoal":
        """The goal with a name, in any case; raises UserErrorException if there is none."""
        try:
            return PrimaryMetricGoal(goal.upper())
        except ValueError:
            raise UserErrorException(f"The goal is MAXIMIZE or MINIMIZE, not {goal!r}.") from None


class HyperDriveConfig:
    """Tries combinations of hyperparameters, each in a run of its own.

        config = HyperDriveConfig(
            run_config=ScriptRunConfig("src", "train.py"),
            hyperparameter_sampling=RandomParameterSampling({"--rate": loguniform(-6, -1), "--batch": choice(16, 32)}),
            policy=BanditPolicy(slack_factor=0.1, evaluation_interval=2),
            primary_metric_name="accuracy",
            primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
            max_total_runs=20,
            max_concurrent_runs=4,
        )
        sweep = experiment.submit(config)

    `max_total_runs` is 1 to 1,000 and `max_concurrent_runs` 1 to 100 (default: as many as `max_total_runs`, up to 100).
    After `max_duration_minutes`, up to 43,200, the sweep and its runs are cancelled. With `resume_from`, earlier sweeps
    over the same space, Bayesian sampling learns from their runs as well.

    Raises:
        UserErrorException: Something is missing, out of bounds, or of the wrong type.
    """

    def __init__(
        self,
        hyperparameter_sampling: HyperParameterSampling,
        primary_metric_name: str,
        primary_metric_goal: PrimaryMetricGoal,
        max_total_runs: int,
        max_concurrent_runs: int | None = None,
        max_duration_minutes: int = 10080,
        policy: EarlyTerminationPolicy | None = None,
        estimator: object = None,
        run_config: ScriptRunConfig | None = None,
        resume_from: Any = None,
        resume_child_runs: object = None,
        pipeline: object = None,
        debug_flag: object = None,
        custom_run_settings: object = None,
    ) -> None:
        _refuse(estimator=estimator, pipeline=pipeline, resume_child_runs=resume_child_runs)
        self.run_config = _instance("run_config", run_config, ScriptRunConfig)
        self.hyperparameter_sampling = _instance(
            "hyperparameter_sampling", hyperparameter_sampling, HyperParameterSampling
        )
        self.policy = _instance("policy", policy or NoTerminationPolicy(), EarlyTerminationPolicy)
        self.primary_metric_name = _instance("primary_metric_name", primary_metric_name, str)
        self.primary_metric_goal = _instance("primary_metric_goal", primary_metric_goal, PrimaryMetricGoal)
        self.max_total_runs = _integer("max_total_runs", max_total_runs, MOST_RUNS)
        at_once = min(self.max_total_runs, MOST_AT_ONCE) if max_concurrent_runs is None else max_concurrent_runs
        self.max_concurrent_runs = _integer("max_concurrent_runs", at_once, MOST_AT_ONCE)
        self.max_duration_minutes = _integer("max_duration_minutes", max_duration_minutes, MOST_MINUTES)
        self.resume_from: Sequence[Any] = _runs(resume_from)


def _refuse(**settings: object) -> None:
    for name, value in settings.items():
        if value is not None:
            raise UserErrorException(f"{name} is not supported; give a ScriptRunConfig as run_config.")


def _instance(name: str, value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        raise UserErrorException(f"{name} has to be a {kind.__name__}, not {type(value).__name__}.")
    return value


def _integer(name: str, value: object, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise UserErrorException(f"{name} has to be an integer, 1 to {most}; got {value!r}.")
    return value


def _runs(sweeps: Any) -> Sequence[Any]:
    if sweeps is None:
        return []
    return list(sweeps) if isinstance(sweeps, (list, tuple)) else [sweeps]
