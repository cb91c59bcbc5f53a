"""What is done when the processes of a job have ended: its results are stored, and its end is reported."""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream._channel.threads import in_thread
from runstream._runner.failures import JobFailed
from runstream._runner.folder import Ending
from runstream._runner.job import JobToRun
from runstream._runner.patience import call_patiently, is_final
from runstream._runner.variables import OUTPUTS
from runstream._runner.watch import TERMINAL
from runstream._transfer import upload
from runstream._transfer.contents import Source
from runstream.api.jobs.v1.job_service_pb2 import GetJobRequest
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest
from runstream.exceptions import AzureMLException

STATUS_FILE: Final = "azureml-logs/process_status.json"
INFO_FILE: Final = "azureml-logs/process_info.json"
OUTPUTS_ERROR: Final = "OutputsError"
SHOWN: Final = 5

_logger = logging.getLogger(__name__)


class Missing:
    """What is not stored yet of the results of a job."""

    def __init__(self, ending: Ending, outputs: Path | None) -> None:
        """`outputs` is the folder of what is to be uploaded; None: nothing is."""
        self._what = {"end": f"the end of the run ({ending.status})", "logs": "the end of its log files"}
        files = _files_below(outputs) if outputs is not None else []
        if files:
            size = sum(path.stat().st_size for _, path in files if isinstance(path, Path))
            self._what["outputs"] = f"{OUTPUTS}/ ({len(files)} files, {size:,} bytes) or a part of it"

    def stored(self, what: str) -> None:
        """Takes note that something is stored."""
        self._what.pop(what, None)

    def __str__(self) -> str:
        return ", ".join(self._what.values())


async def store_outputs(connection: Connection, job: JobToRun, work: Path) -> None:
    """Uploads `outputs/`, however long the services are away.

    Raises:
        JobFailed: Something in it cannot be stored; the rest is.
    """
    files = await in_thread(_files_below, work / OUTPUTS)
    if not files:
        return
    try:
        await _upload(connection, job.run, files)
    except (AzureMLException, OSError) as error:
        refused = await _upload_each(connection, job.run, files) if len(files) > 1 else [_text(error)]
        if refused:
            raise JobFailed(OUTPUTS_ERROR, _complaint(refused)) from error


async def is_last_attempt(connection: Connection, run: str, attempt: int) -> bool:
    """Whether a run has ended and was not executed again after an attempt, whose results are those of the run."""
    try:
        found = await call_patiently(connection, connection.jobs.GetJob, GetJobRequest(run=run))
        ended = await call_patiently(connection, connection.runs.GetRun, GetRunRequest(name=run))
    except AzureMLException as error:
        _logger.warning("nothing more of %s is stored: %s", run, error.message)
        return False
    return ended.run.status in TERMINAL and max(found.job.attempt, 1) == attempt


async def store_document(connection: Connection, run: str, name: str, document: list[dict[str, Any]]) -> None:
    """Stores a document about the processes of a job as a file of the run; where it is refused, nothing happens."""
    data = (json.dumps(document, indent=2) + "\n").encode()
    try:
        await _upload(connection, run, [(name, data)])
    except AzureMLException as error:
        _logger.warning("%s is not stored: %s", name, error.message)


def with_failure(ending: Ending, failure: JobFailed) -> Ending:
    """An end, after its results could not be stored: what the script did wrong counts more."""
    if ending.status != "COMPLETED":
        return ending
    return replace(ending, status="FAILED", code=failure.code, message=failure.message)


def of_attempt(name: str, attempt: int, node: int = 0) -> str:
    """The name of a file about an execution of a run on a node: of a later one, or another one, it has the number."""
    stem, dot, ending = name.rpartition(".")
    later = f"_attempt_{attempt}" if attempt > 1 else ""
    other = f"_node_{node}" if node else ""
    return f"{stem}{later}{other}{dot}{ending}"


async def _upload(connection: Connection, run: str, files: Sequence[tuple[str, Source]]) -> None:
    failures = 0
    while True:
        try:
            return await upload(connection, run, files)
        except AzureMLException as error:
            if is_final(error):
                raise
            _logger.info("%s", error.message)
        await asyncio.sleep(backoff_seconds(failures))
        failures += 1


async def _upload_each(connection: Connection, run: str, files: Sequence[tuple[str, Source]]) -> list[str]:
    """Uploads files one by one; why some are refused."""
    refused = []
    for file in files:
        try:
            await _upload(connection, run, [file])
        except (AzureMLException, OSError) as error:
            refused.append(_text(error))
    return refused


def _files_below(folder: Path) -> list[tuple[str, Source]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(f"{OUTPUTS}/{path.relative_to(folder).as_posix()}", path) for path in files]


def _complaint(refused: Sequence[str]) -> str:
    more = f" And {len(refused) - SHOWN} more." if len(refused) > SHOWN else ""
    return f"The program ended well, but not all of {OUTPUTS}/ was stored. {' '.join(refused[:SHOWN])}{more}"


def _text(error: Exception) -> str:
    return str(getattr(error, "message", "") or error)
