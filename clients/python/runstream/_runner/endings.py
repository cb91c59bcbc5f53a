"""How a job ended, from what its processes did and what the runner was told."""

import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from runstream._runner.failures import RUNNER_DIED, JobFailed
from runstream._runner.folder import Ending
from runstream._runner.members import Told
from runstream._runner.script_errors import PythonError, describe_exit, find_python_error, last_lines, read_tail
from runstream._runner.watch import Order, Orders

MAX_MESSAGE_CHARACTERS: Final = 3_000
RUNNER_TERMINATED: Final = "RunnerTerminated"
NODE_FAILED: Final = "NodeFailed"


def of_order(orders: Orders) -> Ending:
    """The end of a job that was told to end."""
    if orders.order is Order.LOST:
        return Ending("", time.time_ns())
    if orders.order is Order.TERMINATE:
        message = f"The run was stopped: {orders.message}, as when its machine shuts down."
        return replace(failed(RUNNER_TERMINATED, message), cause_time_ns=orders.time_ns)
    if orders.order is Order.NODE_FAILED:
        message = "The run was stopped because another node failed."
        return replace(failed(NODE_FAILED, message), cause_time_ns=orders.time_ns)
    return Ending("CANCELED", time.time_ns())


def of_crew(members: Sequence[Told]) -> Ending:
    """The end of a job whose processes have ended by themselves: the exit codes decide."""
    culprits = [member for member in members if member.code and not member.is_stopped]
    if not culprits:
        return Ending("COMPLETED", max((member.end_time_ns for member in members), default=0) or time.time_ns())
    return _of_culprit(min(culprits, key=_failure_time_ns), members)


def of_failure(error: JobFailed) -> Ending:
    """The end of a job that could not be executed."""
    return failed(error.code, error.message)


def of_lost_runner(time_ns: int) -> Ending:
    """The end of a job whose runner is gone without a word since a time."""
    message = (
        "The runner that executed the run was killed, or failed itself, and the processes of the run were ended with"
        f" it. What it said last is on {socket.gethostname()}, in the log of the runner."
    )
    return replace(failed(RUNNER_DIED, message), time_ns=time_ns)


def failed(code: str, message: str) -> Ending:
    """A failure, now."""
    return Ending("FAILED", time.time_ns(), code=code, message=message[:MAX_MESSAGE_CHARACTERS])


def _of_culprit(culprit: Told, members: Sequence[Told]) -> Ending:
    tail = read_tail(culprit.log)
    error = find_python_error(tail) if (culprit.code or 0) > 0 else None
    message = "\n".join(filter(None, (_headline(error), _exits(culprit, members), _quoted(tail))))
    return Ending(
        "FAILED",
        culprit.end_time_ns,
        code="UserError",
        message=message[:MAX_MESSAGE_CHARACTERS],
        exception_type=error.exception_type if error else "",
        stack_trace=error.stack_trace if error else "",
        cause_time_ns=_failure_time_ns(culprit),
    )


def _failure_time_ns(culprit: Told) -> int:
    """When a process failed. A program prints its exception before it leaves its peers, who fail for that then."""
    if (culprit.code or 0) < 0 or find_python_error(read_tail(culprit.log)) is None:
        return culprit.end_time_ns
    try:
        return min(culprit.log.stat().st_mtime_ns, culprit.end_time_ns)
    except OSError:
        return culprit.end_time_ns


def _headline(error: PythonError | None) -> str:
    return f"User program failed with {error.exception_type}: {error.text}" if error else ""


def _exits(culprit: Told, members: Sequence[Told]) -> str:
    subject = "The process" if len(members) == 1 else culprit.name.capitalize()
    others = "; ".join(f"{member.name} {_exit(member)}" for member in members if member is not culprit)
    return f"{subject} {describe_exit(culprit.code or 0)}." + (f" The others: {others}." if others else "")


def _exit(member: Told) -> str:
    if member.code is None:
        return "was ended with it"
    return describe_exit(member.code) + (" when it was asked to end" if member.is_stopped else "")


def _quoted(tail: str) -> str:
    lines = last_lines(tail)
    return f"It printed at last:\n{lines}" if lines else "It printed nothing."
