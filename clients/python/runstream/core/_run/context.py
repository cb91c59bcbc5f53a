"""The run of this process, and the `with` statement of runs."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runstream.core._forms import Form
from runstream.core._run.record import logger
from runstream.core._run.submitted import JobContext, read_job_context
from runstream.exceptions import RunEnvironmentException

NO_JOB = (
    "Could not load a submitted run: this program was not submitted as a job. To make a run interactively use "
    "experiment.start_logging(); to try the program out allow an offline run."
)


class ContextCalls(ABC):
    """What happens at the beginning and at the end of a `with` statement."""

    @abstractmethod
    def _enter(self) -> None:
        """At the beginning of the statement."""

    @abstractmethod
    def _leave(self) -> None:
        """At its end, before the run ends."""

    @abstractmethod
    def _left(self) -> None:
        """When the run has ended."""

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Warns of what goes wrong while the run is failed: the exception it fails of is the one that goes on."""
        run: Any = self
        try:
            yield
        except Exception as error:  # noqa: BLE001
            logger.warning("Run %s could not be recorded as failed: %s", run.id, getattr(error, "message", error))


def exit_error(error: BaseException | None) -> BaseException | None:
    """What a run that is left with `error` failed of: leaving the program with exit code 0 is no failure."""
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return None
    return error


def get_context(form: Form, *, allow_offline: bool) -> Any:
    """The run of the job this process belongs to, the same object each time; else an offline run.

    Raises:
        RunEnvironmentException: This is no job, and an offline run is not allowed.
    """
    context = read_job_context()
    if context is not None:
        key = (id(form), context)
        if key not in _submitted_runs:
            _submitted_runs[key] = form.submitted_run._of_job(context)
        return _submitted_runs[key]
    if not allow_offline:
        raise RunEnvironmentException(NO_JOB)
    return form.offline_run()


_submitted_runs: dict[tuple[int, JobContext], Any] = {}
