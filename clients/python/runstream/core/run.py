"""Runs."""

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from runstream._channel import loop
from runstream.api.runs.v1 import run_pb2
from runstream.core._forms import BLOCKING
from runstream.core._offline import OfflineCalls
from runstream.core._outputs import track_outputs
from runstream.core._run import RunCalls
from runstream.core._run.context import ContextCalls, exit_error, get_context
from runstream.core._run.record import run_not_found
from runstream.core._run.submitted import SubmittedCalls
from runstream.core._run.waiting import INTERRUPTED, Printer, pull
from runstream.core._submission import submit_below
from runstream.core._surface import Blocking
from runstream.core.experiment import Experiment
from runstream.core.workspace import Workspace
from runstream.exceptions import ExperimentExecutionException, ServiceException, UserErrorException

__all__ = ["Run", "_OfflineRun", "_SubmittedRun", "get_run"]


class BlockingContext(ContextCalls, Blocking):
    """The `with` statement of runs."""

    def __enter__(self) -> Self:
        """Records what is printed into `./logs/user_log.txt`, and follows the folder `./logs`."""
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Completes the run, or fails it with the exception, which goes on."""
        run: Any = self
        self._leave()
        problem = exit_error(error)
        if problem is None:
            run.complete()
        else:
            with self._failing():
                run.fail(error_details=problem)
        self._left()


class Run(RunCalls[Workspace, Experiment, "Run"], BlockingContext):
    """A run: one execution of a program, or one interactive session of logging.

        run = experiment.start_logging()         # a new one
        run = Run(experiment, run_id)            # one that exists
        run = Run.get_context()                  # that of the job this program was submitted as

    Raises:
        ServiceException: No run has this id; `status_code` is 404.
        UserErrorException: The run belongs to another experiment.
    """

    def __init__(
        self,
        experiment: Experiment,
        run_id: str,
        outputs: str | os.PathLike[str] | bool | None = None,
        **kwargs: Any,
    ) -> None:
        record = loop.run(_read_of(experiment, run_id))
        self._attach(experiment.workspace, record, experiment)
        self._outputs = track_outputs(outputs, default=False)

    @property
    def parent(self) -> "Run | None":
        """The run this one is part of, read from the service; None for a top-level run."""
        return loop.run(self._find_parent())

    @property
    def display_name(self) -> str:
        """The name shown to people; made by the service unless one was given. It can be set."""
        return self._read().display_name

    @display_name.setter
    def display_name(self, name: str) -> None:
        loop.run(self._update(run_pb2.Run(display_name=name), "display_name"))

    @property
    def description(self) -> str:
        """Free text, up to 5,000 characters. It can be set."""
        return self._read().description

    @description.setter
    def description(self, text: str) -> None:
        loop.run(self._update(run_pb2.Run(description=text), "description"))

    @classmethod
    def get_context(cls, allow_offline: bool = True, used_for_context_manager: bool = False, **kwargs: object) -> "Run":
        """Returns the run of the job this program was submitted as; the same object each time.

        The job's environment says which run that is; the service is not asked. Outside of a job it returns an offline
        run, which prints what would be stored, so that a script can be tried out unchanged.

        Raises:
            RunEnvironmentException: This is no job, and `allow_offline` is false.
        """
        run: Run = get_context(BLOCKING, allow_offline=allow_offline)
        return run

    def submit_child(
        self,
        config: Any,
        tags: Mapping[str, object] | None = None,
        *,
        run_id: str | None = None,
        show_output: bool = False,
    ) -> "Run":
        """Submits a run below this one, in its experiment, and returns it at once; see `Experiment.submit`.

            run = Run.get_context()                         # in a script that was submitted itself, for example
            for rate in [0.01, 0.1]:
                run.submit_child(ScriptRunConfig(".", "train.py", arguments=["--rate", rate]))

        How the child ends has no effect on this run.
        """
        child: Run = loop.run(submit_below(self, config, tags, run_id=run_id))
        if show_output:
            child.wait_for_completion(show_output=True, raise_on_error=False)
        return child

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> dict[str, Any]:
        """Waits until the run has ended and returns what `get_details()` returns.

            run.wait_for_completion(show_output=True)

        It is told of the end by the service, within a second, and survives broken connections. With `show_output` the
        log of the run is printed as it grows. A run whose cancel was asked for counts as ended unless
        `wait_post_processing` is set.

        Raises:
            ActivityFailedException: The run failed, and `raise_on_error` is set; the message has its error as JSON.
            ExperimentExecutionException: Ctrl-C while the output was shown; the run goes on.
        """
        if show_output:
            try:
                options = {"wait_post_processing": wait_post_processing, "raise_on_error": raise_on_error}
                pull(self._output(**options), Printer())
            except KeyboardInterrupt as interrupt:
                raise ExperimentExecutionException(INTERRUPTED) from interrupt
        return loop.run(self._wait(wait_post_processing, raise_on_error))


class _SubmittedRun(SubmittedCalls[Workspace, Experiment, Run], Run):
    """The run of the job this program was submitted as: how the program exits decides how the run ends."""


class _OfflineRun(OfflineCalls, BlockingContext):
    """Stands for a run outside of a job: it prints what would be stored, and remembers it."""


def get_run(experiment: Experiment, run_id: str, rehydrate: bool = True, clean_up: bool = True) -> Run:
    """Returns a run of an experiment, as an object of the class for its type unless `rehydrate` is false.

    Raises:
        ServiceException: No run has this id; `status_code` is 404.
        UserErrorException: The run belongs to another experiment.
    """
    record = loop.run(_read_of(experiment, run_id))
    make = Run._typed if rehydrate else Run._of
    run: Run = make(experiment.workspace, record, experiment)
    return run


async def _read_of(experiment: Experiment, run_id: str) -> run_pb2.Run:
    try:
        record = await Run._read_record(experiment.workspace, run_id)
    except ServiceException as error:
        if error.status_code != 404:
            raise
        raise run_not_found(run_id, f"experiment {experiment.name}", error) from None
    if record.experiment != experiment._record.name:
        raise UserErrorException(
            f"Run {run_id} belongs to experiment {record.experiment_display_name}, not to {experiment.name}."
        )
    return record


BLOCKING.run, BLOCKING.submitted_run, BLOCKING.offline_run = Run, _SubmittedRun, _OfflineRun
