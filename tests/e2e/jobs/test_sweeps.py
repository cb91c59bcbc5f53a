"""Sweeps as users submit them: the driver, its runs, and what is seen of both."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runstream.core import Experiment, Run
from runstream.train.hyperdrive import (
    BanditPolicy,
    BayesianParameterSampling,
    EarlyTerminationPolicy,
    GridParameterSampling,
    HyperDriveConfig,
    HyperDriveRun,
    PrimaryMetricGoal,
    RandomParameterSampling,
    choice,
    uniform,
)
from runstream.train.hyperdrive.sampling import HyperParameterSampling
from tests.conditions import wait_until
from tests.job_sites import Site, script

SQUARE = """
import argparse
from runstream.core import Run
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
x = parser.parse_args().x
run = Run.get_context()
run.log("score", -((x - 2) ** 2))
run.complete()
"""

STANDING = """
import threading
from runstream.core import Run
Run.get_context().log("score", 1)
threading.Event().wait()
"""

GATED = """
import os, sys, threading
from runstream.core import Run
x, gate = float(sys.argv[3]), sys.argv[1]
run = Run.get_context()
run.log("score", x)
if x < 1:
    os.close(os.open(gate, os.O_RDONLY))
    run.log("score", x)
    threading.Event().wait()
"""


WAITING = """
import os, sys
from runstream.core import Run
Run.get_context().log("score", float(sys.argv[3]))
os.close(os.open(sys.argv[1], os.O_RDONLY))
"""


def sweep(
    text: str,
    sampling: HyperParameterSampling,
    *,
    arguments: Sequence[object] = (),
    total: int = 4,
    at_once: int = 2,
    policy: EarlyTerminationPolicy | None = None,
) -> HyperDriveConfig:
    return HyperDriveConfig(
        run_config=script(text, *arguments),
        hyperparameter_sampling=sampling,
        policy=policy,
        primary_metric_name="score",
        primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
        max_total_runs=total,
        max_concurrent_runs=at_once,
    )


def hyperparameters(child: Run) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(child.tags["hyperparameters"] or "{}")
    return values


def test_a_grid_tries_every_combination_and_finds_the_best(exp: Experiment) -> None:
    submitted = exp.submit(sweep(SQUARE, GridParameterSampling({"x": choice(0, 1, 2, 5)}), total=100))

    submitted.wait_for_completion(raise_on_error=True)

    assert isinstance(submitted, HyperDriveRun)
    assert sorted(values["x"] for values in submitted.get_hyperparameters().values()) == [0, 1, 2, 5]
    best = submitted.get_best_run_by_primary_metric()
    assert best is not None
    assert hyperparameters(best) == {"x": 2}
    assert best.get_metrics() == {"score": 0.0}
    ranked = submitted.get_children_sorted_by_primary_metric(top=3)
    assert [each["best_primary_metric"] for each in ranked] == [0.0, -1.0, -4.0]
    assert submitted.get_properties()["best_child_run_id"] == best.id


@pytest.mark.parametrize("sampling", [RandomParameterSampling, BayesianParameterSampling])
def test_a_sweep_runs_as_many_as_it_was_told(sampling: type[HyperParameterSampling], exp: Experiment) -> None:
    submitted = exp.submit(sweep(SQUARE, sampling({"x": uniform(0, 5)}), total=3, at_once=3))

    submitted.wait_for_completion(raise_on_error=True)

    assert isinstance(submitted, HyperDriveRun)
    values = [each["x"] for each in submitted.get_hyperparameters().values()]
    assert len(set(values)) == 3
    assert all(0 <= value <= 5 for value in values)
    assert {child.get_status() for child in submitted.get_children()} == {"Completed"}


def test_a_run_that_promises_too_little_is_stopped_while_it_runs(exp: Experiment, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    config = sweep(
        GATED,
        GridParameterSampling({"x": choice(10, 0)}),
        policy=BanditPolicy(slack_amount=0.5, delay_evaluation=2),
        arguments=[gate],
    )

    submitted = exp.submit(config)
    wait_until(lambda: len(list(submitted.get_children(status="Completed"))) == 1)
    with gate.open("w"):
        submitted.wait_for_completion(raise_on_error=True)

    by_value = {hyperparameters(child)["x"]: child for child in submitted.get_children()}
    assert by_value[10].get_status() == "Completed"
    assert by_value[0].get_status() == "Canceled"


def test_a_cancelled_sweep_leaves_no_run_behind(exp: Experiment, site: Site) -> None:
    submitted = exp.submit(sweep(STANDING, GridParameterSampling({"x": choice(0.1, 0.2, 0.3)})))
    wait_until(lambda: len(list(submitted.get_children(status="Running"))) == 2)

    submitted.cancel()

    wait_until(lambda: not site.processes())
    assert {child.get_status() for child in submitted.get_children()} == {"Canceled"}


def test_a_killed_driver_is_followed_by_one_that_goes_on(exp: Experiment, site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    config = sweep(WAITING, GridParameterSampling({"x": choice(1, 2, 3)}), arguments=[gate])
    submitted = exp.submit(config)
    wait_until(lambda: len(list(submitted.get_children(status="Running"))) == 2)
    [driver] = [each for each in site.processes(submitted.id) if "drive" in each.cmdline()]

    driver.send_signal(signal.SIGKILL)
    with gate.open("w"):
        submitted.wait_for_completion(raise_on_error=True)

    children: list[Run] = list(submitted.get_children())
    assert [child.get_status() for child in children] == ["Completed"] * 3
    assert len({child.id for child in children}) == 3


def test_a_sweep_whose_runs_all_fail_fails(exp: Experiment) -> None:
    submitted = exp.submit(sweep("raise SystemExit(3)", GridParameterSampling({"x": choice(1, 2)})))

    submitted.wait_for_completion(raise_on_error=False)

    assert submitted.get_status() == "Failed"
    assert "No run of the sweep was completed" in str(submitted.get_details()["error"])


def test_a_sweep_whose_runs_are_refused_says_why(exp: Experiment) -> None:
    submitted = exp.submit(sweep("", GridParameterSampling({"x": choice("x" * 100_000)})))
    submitted.wait_for_completion(raise_on_error=False)

    assert submitted.get_status() == "Failed"
    assert "characters; got 100" in str(submitted.get_details()["error"])
    assert not list(submitted.get_children())
