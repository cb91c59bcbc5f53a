"""The SDK for asynchronous programs: what `runstream.core` has, with methods to await.

    from runstream.aio import Experiment, Workspace

    workspace = await Workspace.get()
    experiment = await Experiment.get_or_create(workspace, "digits")
    async with await experiment.start_logging() as run:
        run.log("loss", 0.31)
        await run.tag("quality", "fantastic run")
    async for run in experiment.get_runs():
        print(run.id, await run.get_metrics())

Everything runs on the event loop of the caller. The documentation of each method shows the blocking form; put `await`
before it. `run.log` and `run.log_list` never wait, listings are used by `async for`. In the place of constructors and
properties that ask the service there are methods: `Workspace.get`, `Experiment.get_or_create`, `Run.get`,
`workspace.get_experiments`, `ComputeTarget.get`, `run.get_parent`, `run.set_display_name`.

Use one form in a process where you can: with event loops in several threads gRPC prints harmless `BlockingIOError`s.
"""

from collections.abc import Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

from runstream._channel.connection import close_connections
from runstream.api.jobs.v1 import job_service_pb2
from runstream.api.runs.v1 import run_pb2
from runstream.core._compute import ComputeTargetCalls, read_compute_target, targets_by_name
from runstream.core._compute_kinds import AmlComputeCalls, KubernetesComputeCalls, LocalComputeCalls
from runstream.core._environment import EnvironmentCalls, list_environments
from runstream.core._experiment import ExperimentCalls
from runstream.core._forms import AWAITING
from runstream.core._log_handler import RunLogHandler
from runstream.core._offline import OfflineCalls
from runstream.core._run import RunCalls
from runstream.core._run.context import ContextCalls, exit_error, get_context
from runstream.core._run.submitted import SubmittedCalls
from runstream.core._run.waiting import Printer
from runstream.core._submission import submit_below, submit_in
from runstream.core._submission.methods import SCRIPT_RUN
from runstream.core._surface import Awaiting
from runstream.core._workspace import WorkspaceCalls

__all__ = [
    "AmlCompute",
    "ComputeTarget",
    "Environment",
    "Experiment",
    "KubernetesCompute",
    "Run",
    "RunLogHandler",
    "ScriptRun",
    "Workspace",
    "close",
]


class Workspace(WorkspaceCalls["Workspace", "Experiment", "Run"], Awaiting):
    """A workspace owns experiments, their runs, and compute targets."""

    async def get_experiments(self) -> "dict[str, Experiment]":
        """The active experiments by name."""
        return await self._experiments()

    async def get_compute_targets(self) -> "dict[str, ComputeTarget]":
        """Where submitted runs can execute, by name."""
        return await targets_by_name(self, ComputeTarget)

    async def get_environments(self) -> "dict[str, Environment]":
        """The latest versions of registered environments and the ready-made ones, by name."""
        return await list_environments(self, Environment)


class Environment(EnvironmentCalls, Awaiting):
    """What is installed for a submitted run, and the variables its processes see."""


class ComputeTarget(ComputeTargetCalls, Awaiting):
    """Where submitted runs execute."""

    @classmethod
    async def get(cls, workspace: Workspace, name: str) -> Any:
        """Returns a compute target, as an object of the class for its kind.

        Raises:
            ComputeTargetException: The workspace has none of this name, or it is of another kind than asked for.
        """
        return cls._of(workspace, await read_compute_target(workspace, name))


class AmlCompute(AmlComputeCalls, ComputeTarget):
    """Machines on which somebody started agents: `runstream agent start --target NAME`."""


class KubernetesCompute(KubernetesComputeCalls, ComputeTarget):
    """A namespace of a Kubernetes cluster, in which each run becomes a `batch/v1` Job."""


class LocalTarget(LocalComputeCalls, ComputeTarget):
    """The machine of the caller, which every workspace has as `local`."""


class Experiment(ExperimentCalls[Workspace, "Experiment", "Run"], Awaiting):
    """An experiment is a named folder of runs."""

    async def submit(
        self,
        config: Any,
        tags: Mapping[str, object] | None = None,
        *,
        run_id: str | None = None,
        show_output: bool = False,
        _parent_run_id: str | None = None,
    ) -> "Run":
        """Submits a run and returns it at once; what executes it does not depend on this program."""
        run: Run = await submit_in(self, config, tags, run_id=run_id, parent_id=_parent_run_id)
        if show_output:
            await run.wait_for_completion(show_output=True, raise_on_error=False)
        return run


class AwaitingContext(ContextCalls, Awaiting):
    """The `async with` statement of runs."""

    async def __aenter__(self) -> Self:
        """Records what is printed into `./logs/user_log.txt`, and follows the folder `./logs`."""
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Completes the run, or fails it with the exception, which goes on."""
        run: Any = self
        self._leave()
        problem = exit_error(error)
        if problem is None:
            await run.complete()
        else:
            with self._failing():
                await run.fail(error_details=problem)
        self._left()


class Run(RunCalls[Workspace, Experiment, "Run"], AwaitingContext):
    """A run: one execution of a program, or one interactive session of logging."""

    @property
    def display_name(self) -> str:
        """The name shown to people, as it was when the run was last read."""
        return self._record.display_name

    async def set_display_name(self, name: str) -> None:
        """Changes the name shown to people."""
        await self._update(run_pb2.Run(display_name=name), "display_name")

    @property
    def description(self) -> str:
        """Free text, as it was when the run was last read."""
        return self._record.description

    async def set_description(self, text: str) -> None:
        """Changes the description, up to 5,000 characters."""
        await self._update(run_pb2.Run(description=text), "description")

    async def get_parent(self) -> "Run | None":
        """The run this one is part of; None for a top-level run."""
        return await self._find_parent()

    async def submit_child(
        self,
        config: Any,
        tags: Mapping[str, object] | None = None,
        *,
        run_id: str | None = None,
        show_output: bool = False,
    ) -> "Run":
        """Submits a run below this one, in its experiment, and returns it at once."""
        child: Run = await submit_below(self, config, tags, run_id=run_id)
        if show_output:
            await child.wait_for_completion(show_output=True, raise_on_error=False)
        return child

    async def refresh(self) -> None:
        """Reads the run again; the run of a job knows nothing but its names before it."""
        await self._refresh()

    async def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> dict[str, Any]:
        """Waits until the run has ended and returns what `get_details()` returns.

        With `show_output` the log of the run is printed as it grows. A run whose cancel was asked for counts as ended
        unless `wait_post_processing` is set.

        Raises:
            ActivityFailedException: The run failed, and `raise_on_error` is set; the message has its error as JSON.
        """
        if show_output:
            take = Printer()
            options = {"wait_post_processing": wait_post_processing, "raise_on_error": raise_on_error}
            async with aclosing(self._output(**options)) as pieces:
                async for piece in pieces:
                    take(piece)
        return await self._wait(wait_post_processing, raise_on_error)

    @classmethod
    def get_context(cls, allow_offline: bool = True, used_for_context_manager: bool = False, **kwargs: object) -> "Run":
        """Returns the run of the job this program was submitted as, or an offline run; see `runstream.core`."""
        run: Run = get_context(AWAITING, allow_offline=allow_offline)
        return run


class ScriptRun(Run):
    """The run of a script that was submitted. What executes it does not depend on the program that submitted it."""


class _SubmittedRun(SubmittedCalls[Workspace, Experiment, Run], Run):
    """The run of the job this program was submitted as: how the program exits decides how the run ends."""


class _OfflineRun(OfflineCalls, AwaitingContext):
    """Stands for a run outside of a job: it prints what would be stored, and remembers it."""


async def close() -> None:
    """Closes the connections of the running event loop; the next call opens them again."""
    await close_connections()


AWAITING.workspace, AWAITING.experiment, AWAITING.run = Workspace, Experiment, Run
AWAITING.submitted_run, AWAITING.offline_run = _SubmittedRun, _OfflineRun
AWAITING.run_types[SCRIPT_RUN] = ScriptRun
AWAITING.compute_target = ComputeTarget
AWAITING.compute_types |= {
    job_service_pb2.COMPUTE_TARGET_KIND_AGENT_POOL: AmlCompute,
    job_service_pb2.COMPUTE_TARGET_KIND_KUBERNETES: KubernetesCompute,
    job_service_pb2.COMPUTE_TARGET_KIND_LOCAL: LocalTarget,
}
