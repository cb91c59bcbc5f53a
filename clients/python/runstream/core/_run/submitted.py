"""The run of the job this program executes in."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic

from google.protobuf.field_mask_pb2 import FieldMask

from runstream._channel.address import ADDRESS_VARIABLE, OFFLINE, find_address, is_offline, parse_address
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.workspace_pb2 import Workspace as WorkspaceRecord
from runstream.core._config import WorkspaceConfig
from runstream.core._forms import E, R, W, form_of
from runstream.core._run import RunCalls
from runstream.core._run.lifecycle import to_error
from runstream.core._run.record import logger
from runstream.core._surface import dual

AZUREML_NAMES = {
    "run": "AZUREML_RUN_ID",
    "subscription": "AZUREML_ARM_SUBSCRIPTION",
    "group": "AZUREML_ARM_RESOURCEGROUP",
    "workspace": "AZUREML_ARM_WORKSPACE_NAME",
    "experiment": "AZUREML_ARM_PROJECT_NAME",
    "token": "AZUREML_RUN_TOKEN",
    "address": "AZUREML_SERVICE_ENDPOINT",
}
RUNSTREAM_NAMES = {
    "run": "RUNSTREAM_RUN_ID",
    "workspace": "RUNSTREAM_WORKSPACE",
    "experiment": "RUNSTREAM_EXPERIMENT",
}


@dataclass(frozen=True)
class JobContext:
    """What the environment of a job says about its run."""

    run: str
    workspace: str
    experiment: str
    address: str
    subscription: str = ""
    group: str = ""


def read_job_context(environ: Mapping[str, str] = os.environ) -> JobContext | None:
    """The context of the job this process belongs to; None when it belongs to none.

    It takes `RUNSTREAM_RUN_ID`, `RUNSTREAM_WORKSPACE` and `RUNSTREAM_EXPERIMENT`, or all seven `AZUREML_...` variables
    that SDK v1 needs. `RUNSTREAM_ADDRESS` says where the services are, else `AZUREML_SERVICE_ENDPOINT`.
    """
    ours = {field: environ.get(name, "") for field, name in RUNSTREAM_NAMES.items()}
    if all(ours.values()):
        return JobContext(**ours, address=find_address())
    theirs = {field: environ.get(name, "") for field, name in AZUREML_NAMES.items()}
    if not all(theirs.values()):
        return None
    theirs.pop("token")
    endpoint = theirs.pop("address")
    address = OFFLINE if is_offline() else parse_address(environ.get(ADDRESS_VARIABLE) or endpoint)
    return JobContext(**theirs, address=address)


class SubmittedCalls(RunCalls[W, E, R], Generic[W, E, R]):
    """The run of a submitted job, as its own script sees it: how the script exits decides how the run ends."""

    _context: JobContext

    @classmethod
    def _of_job(cls, context: JobContext) -> Any:
        """The run of a job, without asking the service."""
        labels = WorkspaceConfig(context.workspace, context.subscription, context.group)
        record = WorkspaceRecord(name=f"workspaces/{context.workspace}")
        workspace = form_of(cls).workspace._of(context.address, record, labels)
        name = workspace._run_name(context.run)
        run = cls._of(workspace, run_pb2.Run(name=name, experiment_display_name=context.experiment))
        run._context, run._is_partial = context, True
        return run

    @property
    def input_datasets(self) -> dict[str, Any]:
        """The datasets given to the job, by name."""
        return {}

    @property
    def output_datasets(self) -> dict[str, Any]:
        """The datasets the job makes, by name."""
        return {}

    @dual
    async def complete(self, _set_status: bool = True) -> None:
        """Stores what was logged and uploads the outputs. The status stays: the exit code of the script decides it."""
        await self._finish_logging()
        await self._upload_outputs()

    @dual
    async def fail(
        self,
        error_details: str | BaseException | None = None,
        error_code: str | None = None,
        _set_status: bool = True,
    ) -> None:
        """Stores what was logged, uploads the outputs and records the error.

        The status stays: the exit code of the script decides it.

        Raises:
            TypeError: `error_details` is neither None, a text nor an exception.
        """
        error = to_error(error_details, error_code)
        await self._store_what_is_there()
        changed = run_pb2.Run(name=self._record.name, error=error)
        connection = self._connection()
        request = api.UpdateRunRequest(run=changed, update_mask=FieldMask(paths=["error"]))
        self._record = (await connection.call(connection.runs.UpdateRun, request)).run
        self._is_partial = False

    @dual
    async def cancel(self, *, recursive: bool = False) -> None:
        """Does nothing but warn: the script of a job does not cancel its own run."""
        logger.warning("Run %s is submitted: its own script cannot cancel it. Exit the script instead.", self.id)
