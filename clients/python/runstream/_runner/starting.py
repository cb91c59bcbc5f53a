"""Starts the processes of a job."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runstream._runner.containers import Container
from runstream._runner.crew import Crew
from runstream._runner.failures import JobFailed
from runstream._runner.finish import of_attempt
from runstream._runner.members import Rank
from runstream._runner.mpi import LAUNCHER_LOG, VARIABLES, mpi_command
from runstream._runner.nodes import this_node
from runstream._runner.output import JobLogs, log_names
from runstream._runner.plan import Plan
from runstream._runner.script import Python, command_of
from runstream.api.jobs.v1.job_pb2 import JobDefinition


@dataclass(frozen=True)
class Prepared:
    """What a job has when its processes can be started."""

    plan: Plan
    python: Python
    work: Path
    container: Container | None = None


def start_processes(
    crew: Crew, logs: JobLogs, definition: JobDefinition, ready: Prepared, variables: Mapping[str, str], attempt: int
) -> None:
    """Starts all processes of this node.

    Raises:
        JobFailed: One cannot be started.
    """
    command = command_of(definition, ready.python, ready.work)
    known = ready.python.extend(variables)
    try:
        if ready.plan.uses_mpi:
            _launch_mpi(crew, logs, command, ready, known, attempt)
        else:
            _start_each(crew, command, ready, known, attempt)
    except OSError as error:
        raise JobFailed("UserError", f"{command[0]} cannot be started: {error.strerror}.") from error


def _start_each(crew: Crew, command: list[str], ready: Prepared, variables: dict[str, str], attempt: int) -> None:
    names = log_names(ready.plan.count, attempt)
    for each in ready.plan.processes:
        own = {**variables, **each.variables}
        wrapped = ready.container.wrap(command, ready.work, own, each.number) if ready.container else command
        crew.start(each.name, wrapped, ready.work, own, names[each.number], is_helper=each.is_helper)


def _launch_mpi(
    crew: Crew, logs: JobLogs, command: list[str], ready: Prepared, variables: dict[str, str], attempt: int
) -> None:
    if ready.container is not None:
        raise JobFailed("EnvironmentError", "An MPI job that is executed by this machine cannot use a container.")
    paths = crew.open_logs(log_names(ready.plan.count, attempt))
    statuses = ready.work.parent / "ranks"
    statuses.mkdir(exist_ok=True)
    own = {**variables, **VARIABLES, **ready.plan.processes[0].variables}
    launch = mpi_command(command, paths, statuses, own)
    pairs = zip(ready.plan.processes, paths, strict=True)
    ranks = [Rank(each.name, path, statuses / f"{each.number}.json") for each, path in pairs]
    log = ready.work.parent / Path(LAUNCHER_LOG).name
    logs.follow(of_attempt(LAUNCHER_LOG, attempt, this_node().index), log)
    crew.launch(launch, ready.work, own, log, ranks)
