"""Submits a sweep: a run on this machine whose program, the driver, submits the others."""

import json
import random
import shlex
import sys
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Final

from google.protobuf.duration_pb2 import Duration

from runstream._channel.threads import in_thread
from runstream.api.jobs.v1.environment_pb2 import Environment, EnvironmentDefinition, PythonDefinition
from runstream.api.jobs.v1.job_pb2 import JobDefinition
from runstream.api.runs.v1 import run_pb2
from runstream.core._job.definition import JobPlan
from runstream.core._source import SNAPSHOT_PROPERTY, store_snapshot, survey_folder
from runstream.core._submission.methods import Submission
from runstream.core._submission.script import LOCAL, prepare, submit_plan
from runstream.train.hyperdrive._proposals import require_optuna
from runstream.train.hyperdrive._sweep import FILE, METRIC_PROPERTY, Sweep
from runstream.train.hyperdrive.runconfig import HyperDriveConfig
from runstream.train.hyperdrive.sampling import GridParameterSampling

SWEEP_RUN: Final = "hyperdrive"
SOURCE_PROPERTY: Final = "azureml.runsource"
MODULE: Final = "runstream.train.hyperdrive"
GRACE_SECONDS: Final = 60
"""How long a cancelled driver has to cancel its runs and to see them end."""


async def submit_sweep(config: HyperDriveConfig, to: Submission) -> run_pb2.Run:
    """Submits a sweep and starts its driver on this machine; the record of the run.

    Raises:
        UserErrorException: What draws hyperparameters is not installed.
        ExperimentExecutionException: There is no such script, or the driver cannot be started.
        SnapshotException: The source folder is too large, or has something that cannot be stored.
    """
    if not isinstance(config.hyperparameter_sampling, GridParameterSampling):
        require_optuna()
    plan, properties = await prepare(config.run_config, to)
    sweep = _sweep(config, plan, properties)
    driver = await _driver(sweep, to)
    driver_plan = JobPlan(
        definition=driver,
        target=LOCAL,
        source_directory=None,
        max_run_duration_seconds=60 * config.max_duration_minutes,
    )
    metric = json.dumps({"name": sweep.metric, "goal": sweep.goal.value.lower()})
    described = properties | {SOURCE_PROPERTY: SWEEP_RUN, METRIC_PROPERTY: metric}
    return await submit_plan(driver_plan, described, replace(to, run_id=to.run_id or f"HD_{uuid.uuid4()}"), SWEEP_RUN)


def _sweep(config: HyperDriveConfig, plan: JobPlan, properties: dict[str, str]) -> Sweep:
    count = config.hyperparameter_sampling.combination_count
    return Sweep(
        sampling=config.hyperparameter_sampling,
        policy=config.policy,
        metric=config.primary_metric_name,
        goal=config.primary_metric_goal,
        max_total_runs=min(config.max_total_runs, count or config.max_total_runs),
        max_concurrent_runs=config.max_concurrent_runs,
        seed=random.SystemRandom().getrandbits(32),
        plan=plan,
        properties=properties,
        resume_from=[run if isinstance(run, str) else run.id for run in config.resume_from],
    )


async def _driver(sweep: Sweep, to: Submission) -> JobDefinition:
    with tempfile.TemporaryDirectory() as folder:
        await in_thread(Path(folder, FILE).write_text, sweep.to_json())
        stored = await store_snapshot(to.workspace, await survey_folder(to.workspace, folder))
    return JobDefinition(
        command=f"{shlex.quote(sys.executable)} -P -m {MODULE}",
        snapshot=f"{to.workspace._record.name}/snapshots/{stored[SNAPSHOT_PROPERTY]}",
        environment=Environment(
            definition=EnvironmentDefinition(
                display_name="hyperdrive", python=PythonDefinition(user_managed=True, interpreter_path=sys.executable)
            )
        ),
        termination_grace=Duration(seconds=GRACE_SECONDS),
        details_json=json.dumps({"target": sweep.plan.target, "hyperdrive": json.loads(sweep.to_json())}),
    )
