"""Drivers of sweeps that come after others: what those had decided, and what they had left undone."""

import json
import os
import signal
from pathlib import Path

from runstream.core import Experiment, Run
from runstream.train.hyperdrive import BanditPolicy, GridParameterSampling, HyperDriveConfig, PrimaryMetricGoal, choice
from runstream.train.hyperdrive._sweep import REPLACES_PROPERTY, STOPPED_PROPERTY
from tests.conditions import wait_until
from tests.job_sites import Site, script

WAITING = """
import os, sys
from runstream.core import Run
Run.get_context().log("score", float(sys.argv[3]))
os.close(os.open(sys.argv[1], os.O_RDONLY))
"""


def sweep(gate: Path) -> HyperDriveConfig:
    return HyperDriveConfig(
        run_config=script(WAITING, gate),
        hyperparameter_sampling=GridParameterSampling({"x": choice(1, 2)}),
        policy=BanditPolicy(slack_amount=100),
        primary_metric_name="score",
        primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
        max_total_runs=2,
    )


def value_of(child: Run) -> object:
    return json.loads(child.tags["hyperparameters"] or "{}")["x"]


def test_a_run_that_a_killed_driver_had_decided_against_is_stopped_and_one_not_started_is_tried_again(
    exp: Experiment, site: Site, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    submitted = exp.submit(sweep(gate))
    wait_until(lambda: len(list(submitted.get_children(status="Running"))) == 2)
    by_value = {value_of(child): child for child in submitted.get_children()}
    by_value[1].fail("no runner claimed it", error_code="RunnerNotStarted")
    wait_until(lambda: len(list(submitted.get_children())) == 3)
    [driver] = [each for each in site.processes(submitted.id) if "drive" in each.cmdline()]

    by_value[2].add_properties({STOPPED_PROPERTY: "BanditPolicy"})
    driver.send_signal(signal.SIGKILL)
    wait_until(lambda: by_value[2].get_status() in ("CancelRequested", "Canceled"))
    with gate.open("w"):
        submitted.wait_for_completion(raise_on_error=True)

    [again] = [child for child in submitted.get_children() if REPLACES_PROPERTY in child.get_properties()]
    assert (value_of(again), again.get_status()) == (1, "Completed")
    assert len(list(submitted.get_children())) == 3
    wait_until(lambda: by_value[2].get_status() == "Canceled")
