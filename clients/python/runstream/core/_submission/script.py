"""Submits scripts and commands."""

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from google.protobuf.duration_pb2 import Duration

from runstream._channel.threads import in_thread
from runstream.api.jobs.v1 import job_service_pb2 as jobs_api
from runstream.api.runs.v1 import run_history_service_pb2 as runs_api
from runstream.api.runs.v1 import run_pb2
from runstream.core._git import git_properties
from runstream.core._run.creation import current_user
from runstream.core._source import SNAPSHOT_PROPERTY, store_snapshot, survey_folder
from runstream.core._submission.ids import new_run_id
from runstream.core._submission.methods import SCRIPT_RUN, Submission, register_submit_method
from runstream.core.script_run_config import ScriptRunConfig
from runstream.exceptions import AzureMLException, ExperimentExecutionException

if TYPE_CHECKING:
    from runstream.core._job.definition import JobPlan

logger = logging.getLogger("runstream")

LOCAL: Final = "local"
SUBMIT_SECONDS: Final = 90.0
"""How long services that are away are waited for: a restart does not keep a run from being submitted."""
PROCESS_FILES: Final = {
    "ProcessInfoFile": "azureml-logs/process_info.json",
    "ProcessStatusFile": "azureml-logs/process_status.json",
}


async def submit_script(config: ScriptRunConfig, to: Submission) -> run_pb2.Run:
    """Submits what a configuration says and, for this machine, starts its runner; the record of the run.

    Raises:
        ExperimentExecutionException: There is no such script, or the runner cannot be started.
        SnapshotException: The source folder is too large, or has something that cannot be stored.
    """
    return await submit_plan(*await prepare(config, to), to)


async def prepare(config: ScriptRunConfig, to: Submission) -> tuple["JobPlan", dict[str, str]]:
    """Stores the source folder of a configuration: what is submitted then, and the properties of runs that execute it.

    Raises:
        ExperimentExecutionException: There is no such script.
        ServiceException: There is no such compute target; `status_code` is 404.
        SnapshotException: The source folder is too large, or has something that cannot be stored.
    """
    from runstream.core._job.definition import plan_job

    plan = plan_job(config, to.workspace._record.name)
    properties, survey, kind = await asyncio.gather(
        in_thread(git_properties, config.source_directory or "."),
        survey_folder(to.workspace, plan.source_directory),
        _kind_of_target(plan, to),
    )
    _warn_of_unused_image(plan, kind)
    snapshot = await store_snapshot(to.workspace, survey, to.meter)
    if snapshot:
        plan.definition.snapshot = f"{to.workspace._record.name}/snapshots/{snapshot[SNAPSHOT_PROPERTY]}"
    return plan, properties | snapshot


async def submit_plan(
    plan: "JobPlan", properties: dict[str, str], to: Submission, run_type: str = SCRIPT_RUN
) -> run_pb2.Run:
    """Submits a job whose source folder is stored and, for this machine, starts its runner; the record of the run.

    Raises:
        ExperimentExecutionException: The runner cannot be started.
    """
    connection = to.workspace._connection()
    request = _request(plan, to, properties, run_type)
    run = (await connection.call(connection.jobs.SubmitRun, request, timeout=SUBMIT_SECONDS)).run
    if plan.target == LOCAL:
        await _start(to, run)
    return run


async def _kind_of_target(plan: "JobPlan", to: Submission) -> "jobs_api.ComputeTargetKind.ValueType":
    """What kind of compute target it is, asked for before anything is sent that would be sent in vain."""
    if plan.target == LOCAL:
        return jobs_api.COMPUTE_TARGET_KIND_LOCAL
    connection = to.workspace._connection()
    request = jobs_api.GetComputeTargetRequest(name=_target_name(plan, to))
    return (
        await connection.call(connection.jobs.GetComputeTarget, request, timeout=SUBMIT_SECONDS)
    ).compute_target.kind


def _warn_of_unused_image(plan: "JobPlan", kind: "jobs_api.ComputeTargetKind.ValueType") -> None:
    environment = plan.definition.environment.definition
    if (
        environment.HasField("image")
        and not plan.definition.container.use_container
        and kind in (jobs_api.COMPUTE_TARGET_KIND_LOCAL, jobs_api.COMPUTE_TARGET_KIND_AGENT_POOL)
    ):
        logger.warning(
            "The image of environment %s is not used on %s: set run_config.docker = DockerConfiguration("
            "use_docker=True) to have the run executed in a container.",
            environment.display_name,
            plan.target,
        )


def _target_name(plan: "JobPlan", to: Submission) -> str:
    return f"{to.workspace._record.name}/computeTargets/{plan.target}"


def _request(plan: "JobPlan", to: Submission, properties: dict[str, str], run_type: str) -> jobs_api.SubmitRunRequest:
    run = run_pb2.Run(
        experiment=to.experiment,
        parent=to.parent,
        run_type=run_type,
        tags=to.tags,
        properties=properties | PROCESS_FILES,
        creator=current_user(),
    )
    if plan.max_run_duration_seconds is not None:
        run.max_run_duration.CopyFrom(Duration(seconds=plan.max_run_duration_seconds))
    return jobs_api.SubmitRunRequest(
        parent=to.workspace._record.name,
        run=run,
        run_id=to.run_id or new_run_id(to.experiment_name),
        request_id=to.request_id,
        compute_target=_target_name(plan, to),
        definition=plan.definition,
    )


async def _start(to: Submission, run: run_pb2.Run) -> None:
    """Starts the runner of a run on this machine, or has the run fail."""
    from runstream._runner.start import start_runner

    try:
        await in_thread(start_runner, run.name, to.workspace._address)
    except OSError as error:
        message = f"The runner of {run.name} cannot be started on this machine: {error}"
        connection = to.workspace._connection()
        request = runs_api.FailRunRequest(
            name=run.name, error=run_pb2.RunError(code="RunnerNotStarted", message=message)
        )
        with suppress(AzureMLException):
            await connection.call(connection.runs.FailRun, request)
        raise ExperimentExecutionException(message, error) from error


register_submit_method(ScriptRunConfig, submit_script)
