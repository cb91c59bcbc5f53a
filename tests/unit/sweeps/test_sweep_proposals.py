"""Which combinations of hyperparameters are tried."""

from pathlib import Path
from typing import Any

import pytest

from runstream.api.jobs.v1.job_pb2 import JobDefinition
from runstream.core import ScriptRunConfig
from runstream.core._job.definition import JobPlan
from runstream.exceptions import UserErrorException
from runstream.train.hyperdrive import (
    BanditPolicy,
    BayesianParameterSampling,
    GridParameterSampling,
    HyperDriveConfig,
    PrimaryMetricGoal,
    RandomParameterSampling,
    choice,
    loguniform,
    normal,
    randint,
    uniform,
)
from runstream.train.hyperdrive._proposals import Trial, proposals_of, values_of
from runstream.train.hyperdrive._sweep import FILE, Sweep, hyperparameter_arguments

SPACE = {"rate": loguniform(-6, -1), "batch": choice(16, 32), "layers": randint(4), "noise": normal(0, 1)}


def test_a_grid_has_every_combination_once_and_then_none() -> None:
    proposals = proposals_of(GridParameterSampling({"a": choice(1, 2), "b": choice("x", "y", "z")}), seed=1)

    combinations = [proposals.propose(index, []) for index in range(7)]

    assert combinations[6] is None
    assert len({tuple(each.items()) for each in combinations if each}) == 6


@pytest.mark.parametrize("sampling", [RandomParameterSampling, BayesianParameterSampling])
def test_a_combination_is_the_same_for_the_same_index_seed_and_trials(sampling: Any) -> None:
    first, second, other = (proposals_of(sampling(SPACE), seed=seed) for seed in (1, 1, 2))
    trials = [Trial(first.propose(index, []) or {}, float(index), True) for index in range(12)]

    assert first.propose(12, trials) == second.propose(12, trials)
    assert first.propose(12, trials) != other.propose(12, trials)
    assert first.propose(12, trials) != first.propose(13, trials)


def test_bayesian_sampling_goes_where_results_were_good() -> None:
    sampling = BayesianParameterSampling({"x": uniform(0, 10)})
    proposals = proposals_of(sampling, seed=3)
    trials: list[Trial] = []
    for index in range(40):
        numbers = proposals.propose(index, trials)
        assert numbers is not None
        trials.append(Trial(numbers, -((numbers["x"] - 7) ** 2), has_ended=True))

    late = [trial.numbers["x"] for trial in trials[20:]]
    assert sum(abs(x - 7) < 1.5 for x in late) > len(late) / 2


def test_trials_under_way_and_those_without_a_result_do_no_harm() -> None:
    proposals = proposals_of(BayesianParameterSampling(SPACE), seed=3)
    numbers = proposals.propose(0, []) or {}
    trials = [Trial(numbers, None, has_ended=False), Trial(numbers, None, has_ended=True)] * 10

    assert set(values_of(SPACE, proposals.propose(20, trials) or {})) == set(SPACE)


def test_hyperparameters_reach_the_script_as_arguments() -> None:
    assert hyperparameter_arguments({"rate": 0.5, "--batch": 16, "-v": "x y"}) == [
        *("--rate", "0.5", "--batch", "16", "-v", "x y")
    ]


def test_a_sweep_is_the_same_after_it_was_a_file(tmp_path: Path) -> None:
    plan = JobPlan(
        definition=JobDefinition(script="train.py", arguments=["--a", "1"]),
        target="pool",
        source_directory=None,
        max_run_duration_seconds=60,
    )
    sweep = Sweep(
        sampling=RandomParameterSampling(SPACE),
        policy=BanditPolicy(slack_factor=0.1),
        metric="accuracy",
        goal=PrimaryMetricGoal.MINIMIZE,
        max_total_runs=10,
        max_concurrent_runs=2,
        seed=7,
        plan=plan,
        properties={"a": "b"},
        resume_from=["HD_1"],
    )
    (tmp_path / FILE).write_text(sweep.to_json())

    read = Sweep.read(tmp_path)

    assert read.to_json() == sweep.to_json()
    assert read.plan == plan
    assert read.sampling.parameter_space == SPACE
    assert read.turned(2.0) == -2.0


def config(tmp_path: Path, **changes: Any) -> HyperDriveConfig:
    settings: dict[str, Any] = {
        "run_config": ScriptRunConfig(tmp_path, "train.py"),
        "hyperparameter_sampling": RandomParameterSampling({"x": uniform(0, 1)}),
        "primary_metric_name": "accuracy",
        "primary_metric_goal": PrimaryMetricGoal.MAXIMIZE,
        "max_total_runs": 200,
    }
    return HyperDriveConfig(**(settings | changes))


def test_as_many_run_at_once_as_may(tmp_path: Path) -> None:
    assert config(tmp_path).max_concurrent_runs == 100
    assert config(tmp_path, max_total_runs=3).max_concurrent_runs == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"max_total_runs": 0},
        {"max_total_runs": 1001},
        {"max_concurrent_runs": 101},
        {"max_duration_minutes": 43201},
        {"primary_metric_goal": "MAXIMIZE"},
        {"hyperparameter_sampling": {"x": uniform(0, 1)}},
        {"run_config": None},
        {"estimator": object()},
        {"resume_child_runs": [object()]},
        {"policy": "bandit"},
    ],
)
def test_a_sweep_that_cannot_be_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserErrorException):
        config(tmp_path, **changes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomParameterSampling({}),
        lambda: RandomParameterSampling({"x": [1, 2]}),  # type: ignore[dict-item]
        lambda: GridParameterSampling({"x": uniform(0, 1)}),
    ],
)
def test_a_space_that_cannot_be_is_refused(make: Any) -> None:
    with pytest.raises(UserErrorException):
        make()
