"""Everything known of a run as one dictionary, and its logs."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic

from google.protobuf.timestamp_pb2 import Timestamp

from runstream.api.metrics.v1.metrics_service_pb2 import GetRefusalsRequest, RefusalCount
from runstream.api.runs.v1 import run_pb2
from runstream.core._forms import E, R, W
from runstream.core._run.children import ChildCalls
from runstream.core._run.files import inside
from runstream.core._run.refusals import refusal_warnings
from runstream.core._status import status_name
from runstream.core._submission.job import read_job
from runstream.core._surface import dual
from runstream.exceptions import UserErrorException

Details = dict[str, Any]


class DetailCalls(ChildCalls[W, E, R], Generic[W, E, R]):
    """Tells everything of a run."""

    @dual
    async def get_details(self) -> Details:
        """Everything known of the run: `runId`, `status`, `startTimeUtc`, `endTimeUtc`, `properties`, `error`, ...

        Keys without a value are absent; `error` is there only for a run that failed. `logFiles` has the names of the
        log files with the address of each in the studio. `warnings` has, among others, how many of the values that were
        sent to the run were refused, for each reason. Of a submitted run `runDefinition` has what is executed.
        """
        return await self._details()

    @dual
    async def get_details_with_logs(self) -> Details:
        """As `get_details`, with the text of each log file in the place of its address."""
        details = await self._details()
        details["logFiles"] = {path: await self._log_text(path) for path in details["logFiles"]}
        return details

    @dual
    async def get_all_logs(self, destination: str | os.PathLike[str] | None = None) -> list[str]:
        """Downloads all log files into a folder, `assets/<run id>` by default, and returns their local paths.

        Raises:
            UserErrorException: The destination is a file, or the name of a log file leads out of a folder.
        """
        return await self._all_logs(destination)

    @dual
    async def download_logs(self, destination: str | os.PathLike[str] | None = None) -> list[str]:
        """As `get_all_logs`."""
        return await self._all_logs(destination)

    async def _all_logs(self, destination: str | os.PathLike[str] | None) -> list[str]:
        folder = Path(destination) if destination else Path("assets") / self.id
        if folder.is_file():
            raise UserErrorException(f"The destination {folder} is a file; logs are written to a folder.")
        targets = {log.path: folder / inside(log.path) for log in await self._list_logs()}
        for path, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            await self._download_log(path, target)
        return [str(target) for target in targets.values()]

    async def _details(self) -> Details:
        record = await self._refresh()
        details = to_details(record)
        logs, refusals, job = await asyncio.gather(
            self._list_logs(), self._refusals(), read_job(self._connection(), record)
        )
        details["logFiles"] = {log.path: self._log_url(log.path) for log in logs}
        if refused := refusal_warnings(refusals):
            details["warnings"] = details.get("warnings", []) + refused
        if job is not None:
            from runstream.core._job.run_definition import run_definition

            details["runDefinition"] = run_definition(job)
        return details

    async def _refusals(self) -> Sequence[RefusalCount]:
        connection = self._connection()
        request = GetRefusalsRequest(run=self._record.name)
        return (await connection.call(connection.metrics.GetRefusals, request)).refusals

    def _log_url(self, path: str) -> str:
        return f"{self.get_portal_url()}/logs/{path}"


def to_details(record: run_pb2.Run) -> Details:
    """A record as the dictionary that `get_details` returns, without `logFiles`."""
    details: Details = {
        "runId": record.name.rpartition("/runs/")[2],
        "target": record.target,
        "status": status_name(record.status),
        "startTimeUtc": time_text(record.start_time) if record.HasField("start_time") else None,
        "endTimeUtc": time_text(record.end_time) if record.HasField("end_time") else None,
        "services": {},
        "error": to_error_details(record.error) if record.HasField("error") else None,
        "warnings": [{"source": each.source, "message": each.message} for each in record.warnings] or None,
        "properties": dict(record.properties),
        "inputDatasets": [],
        "outputDatasets": [],
        "submittedBy": record.creator,
    }
    return {key: value for key, value in details.items() if value not in (None, "")}


def to_error_details(error: run_pb2.RunError) -> Details:
    """An error as in `get_details`."""
    inner: Details = {"code": error.code, "message": error.message, "details": []}
    if error.exception_type:
        debug = {"type": error.exception_type, "message": error.message, "stackTrace": error.stack_trace}
        inner["debugInfo"] = debug
    return {"error": inner, "time": time_text(error.time), "componentName": "runstream"}


def time_text(time: Timestamp) -> str:
    """A time as `YYYY-MM-DDTHH:MM:SS.ffffffZ`."""
    return time.ToDatetime().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
