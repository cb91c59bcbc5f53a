"""How a run starts and ends."""

import traceback
from collections.abc import Sequence
from time import time_ns
from typing import Any, Generic

from runstream._channel.errors import is_away
from runstream._channel.threads import in_thread
from runstream._spool.records import EndOfRun
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core._forms import E, R, W
from runstream.core._heartbeat import HEARTBEATS
from runstream.core._recording import stop_recording
from runstream.core._run.files import FileCalls
from runstream.core._run.record import logger
from runstream.core._status import TERMINAL, status_name
from runstream.core._submission.job import read_job
from runstream.core._surface import dual
from runstream.exceptions import AzureMLException, UserErrorException

FLUSH_SECONDS = 300.0
MAX_ERROR_CHARACTERS = 100_000
"""Of a message or stack sent; the service stores less."""
CHANGE_SECONDS = 90.0
"""How long a change of status waits for services that are away; a restart does not keep a run from ending."""
FAILING_FLUSH_SECONDS = 10.0
"""How long a run that fails waits for what was logged; what is left is carried up after it."""


class LifecycleCalls(FileCalls[W, E, R], Generic[W, E, R]):
    """Starts and ends runs. A run that has ended stays as it is: ending it again changes nothing and is no error."""

    _is_stored = False
    """Whether everything logged here until the run was ended through this object is stored."""

    @dual
    async def start(self) -> None:
        """Puts the run into `Running`. Runs made by `start_logging` and `child_run` are started already.

        Raises:
            UserErrorException: The status does not allow it, or a runner drives the run.
        """
        connection = self._connection()
        response = await connection.call(
            connection.runs.StartRun, api.StartRunRequest(name=self._record.name), timeout=CHANGE_SECONDS
        )
        self._take_started(response.run)

    @dual
    async def complete(self, _set_status: bool = True) -> None:
        """Ends the run as `Completed`: stores what was logged, uploads its outputs folder, then sets the status.

        Metrics that could not be stored leave a warning and do not keep the run from completing. If the outputs cannot
        be uploaded, the run fails. While the services are away for long there is a warning, and the process that
        carries metrics does what is left as soon as they answer.

        Raises:
            AzureMLException: The outputs are not what can be uploaded.
        """
        await self._finish_logging()
        outputs: list[tuple[str, str]] = []
        try:
            await self._upload_outputs()
        except AzureMLException as error:
            if _set_status and is_away(error):
                outputs = self._named_outputs()
            elif _set_status:
                await self._fail(run_pb2.RunError(code="OutputsUploadFailed", message=error.message))
            if not outputs:
                raise
        if _set_status:
            await self._end("CompleteRun", api.CompleteRunRequest(name=self._record.name), outputs)

    @dual
    async def fail(
        self,
        error_details: str | BaseException | None = None,
        error_code: str | None = None,
        _set_status: bool = True,
    ) -> None:
        """Ends the run as `Failed`: stores what was logged, uploads its outputs folder, then sets error and status.

            try:
                train()
            except ValueError as error:
                run.fail(error_details=error)
                raise

        `error_code` is a word to branch on, `UserError` by default.

        Raises:
            TypeError: `error_details` is neither None, a text nor an exception.
        """
        error = to_error(error_details, error_code)
        outputs = await self._store_what_is_there()
        if _set_status:
            await self._fail(error, outputs)

    @dual
    async def cancel(self, *, recursive: bool = False) -> None:
        """Cancels the run, with `recursive` all its descendants as well, in one step.

        A run that a runner drives elsewhere becomes `CancelRequested` until the runner has stopped it, any other run is
        `Canceled` at once. Cancelling again, or a run that has ended, is no error.
        """
        connection = self._connection()
        request = api.CancelRunRequest(name=self._record.name, recursive=recursive)
        self._take((await connection.call(connection.runs.CancelRun, request, timeout=CHANGE_SECONDS)).run)

    @dual
    async def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> None:
        """Waits until everything this process logged to the run is stored and can be read.

        Raises:
            AzureMLException: It took longer than `timeout_seconds`, or the service refused something; the message lists
                names and reasons.
        """
        await in_thread(self._spool().flush, timeout_seconds)

    @dual
    async def clean(self) -> None:
        """Removes the working copy of the run on this machine. Interactive runs have none. Nothing recorded is lost.

        Raises:
            UserErrorException: The run was submitted, and has not ended.
        """
        record = await self._refresh()
        if not record.service_managed:
            return
        if status_name(record.status) not in TERMINAL:
            raise UserErrorException(f"Run {self.id} has not ended: its working copy is in use. Cancel it first.")
        from runstream._runner.clean import remove_working_copies

        await in_thread(remove_working_copies, self.id)

    @dual
    async def get_status(self) -> str:
        """The status, asked from the service unless the run is known to have ended."""
        if self._is_partial or status_name(self._record.status) not in TERMINAL:
            await self._refresh()
        return status_name(self._record.status)

    @dual
    async def get_detailed_status(self) -> dict[str, Any]:
        """The status with what is known about it, why a queued run waits for example.

        {"status": "Running", "details": None}
        """
        record = await self._refresh()
        job = await read_job(self._connection(), record) if record.status == run_pb2.RUN_STATUS_QUEUED else None
        reasons = [change.reason for change in record.status_history[-1:]]
        details = (job.queueing_message if job else "") or next(iter(reasons), "")
        return {"status": status_name(record.status), "details": details or None}

    def _take(self, record: run_pb2.Run) -> None:
        """Takes over a record that a change returned; a run that has ended needs no heartbeats any more."""
        self._record, self._is_partial = record, False
        if not record.heartbeat_enabled or status_name(record.status) in TERMINAL:
            HEARTBEATS.stop(record.name)

    def _take_started(self, record: run_pb2.Run) -> None:
        """Takes over the record of a run that this process started, and sends its heartbeats from now on."""
        self._take(record)
        if record.heartbeat_enabled and status_name(record.status) not in TERMINAL:
            HEARTBEATS.start(record.name, self._workspace._address)

    async def _fail(self, error: run_pb2.RunError, outputs: Sequence[tuple[str, str]] = ()) -> None:
        await self._end("FailRun", api.FailRunRequest(name=self._record.name, error=error), outputs)

    async def _end(self, method: str, request: Any, outputs: Sequence[tuple[str, str]]) -> None:
        """Ends the run, or has the uplink do so, with outputs that are left, where the services are away."""
        end = EndOfRun(method, time_ns() // 1000, request.SerializeToString(), list(outputs))
        connection = self._connection()
        try:
            if not outputs:
                call = getattr(connection.runs, method)
                self._take((await connection.call(call, request, timeout=CHANGE_SECONDS)).run)
                return
        except AzureMLException as error:
            if not is_away(error):
                raise
        await in_thread(self._end_later, end)

    def _named_outputs(self) -> list[tuple[str, str]]:
        return [(name, str(path)) for name, path in self._output_files()]

    def _end_later(self, end: EndOfRun) -> None:
        """Has the uplink end the run. It is too late to do anything about it where that cannot be noted."""
        HEARTBEATS.stop(self._record.name)
        try:
            self._spool().end_run(end)
        except OSError as error:
            logger.warning("Run %s is not ended: the services are away, and nothing can be noted: %s", self.id, error)
        else:
            logger.warning("Run %s: the services are away. It ends, with what was logged, once they answer", self.id)

    async def _store_metrics(self, timeout_seconds: float = FLUSH_SECONDS) -> bool:
        """Stores what this process logged; says whether it is stored without loss, and warns where it is not."""
        try:
            await in_thread(self._spool().flush, timeout_seconds)
        except AzureMLException as error:
            logger.warning("Run %s: %s", self.id, error.message)
            return False
        return True

    async def _finish_logging(self, timeout_seconds: float = FLUSH_SECONDS) -> None:
        await in_thread(stop_recording, self._record.name)
        self._is_stored = await self._store_metrics(timeout_seconds)
        self._spool().finish()

    async def _store_what_is_there(self) -> list[tuple[str, str]]:
        """Stores what can be stored now; returns the outputs that can be later."""
        await self._finish_logging(FAILING_FLUSH_SECONDS)
        try:
            await self._upload_outputs()
        except (AzureMLException, OSError) as error:
            if is_away(error):
                return self._named_outputs()
            logger.warning("Run %s: the outputs were not uploaded: %s", self.id, getattr(error, "message", error))
        return []


def to_error(details: object, code: str | None) -> run_pb2.RunError:
    """What a run records about its failure.

    Raises:
        TypeError: `details` is neither None, a text nor an exception.
    """
    error = run_pb2.RunError(code=storable(code or "UserError"))
    if isinstance(details, BaseException):
        error.exception_type = type(details).__name__
        error.message = storable(f"User program failed with {error.exception_type}: {text_of(details)}")
        error.stack_trace = storable("".join(traceback.format_exception(details)), keep_end=True)
    elif isinstance(details, str):
        error.message = storable(details)
    elif details is not None:
        raise TypeError(f"error_details must be a string or an exception, not {type(details).__name__}")
    return error


def text_of(error: BaseException) -> str:
    """What an exception says, whatever its `__str__` does."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001
        return "its text cannot be read"


def storable(text: str, *, keep_end: bool = False) -> str:
    """A text as it can be sent: lone surrogates written out, and cut to a length that no call is refused for."""
    sent = text.encode("utf-8", "backslashreplace").decode()
    return sent[-MAX_ERROR_CHARACTERS:] if keep_end else sent[:MAX_ERROR_CHARACTERS]
