"""The processes of a job while they execute: together they end well, or the first one that fails ends the others."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from runstream._runner.children import Child, Children
from runstream._runner.output import JobLogs
from runstream._runner.plan import PlannedProcess
from runstream._runner.processes import signal_below, signal_groups

LOOK_SECONDS: Final = 0.05
"""How often is looked for processes that tell nobody of their end."""
LINGER_VARIABLE: Final = "RUNSTREAM_LINGER_SECONDS"
"""How long processes that a program leaves in its process group may go on after it ended well."""
LINGER_SECONDS: Final = 300.0


@dataclass
class Member:
    """A process of the job."""

    planned: PlannedProcess
    child: Child
    log: Path
    start_time_ns: int
    end_time_ns: int = 0
    is_stopped: bool = False
    """Whether it was asked to end before it did."""

    @property
    def code(self) -> int | None:
        """Its exit code; None: it has not ended."""
        return self.child.ended.result() if self.child.ended.done() else None

    def status(self) -> dict[str, Any]:
        """What became of it, as it stands in `process_status.json`."""
        word = "Started" if self.code is None else "Terminated" if self.is_stopped else "Failed"
        word = "Completed" if self.code == 0 else word
        time_ns = self.end_time_ns or self.start_time_ns
        return {"name": self.planned.name, "time": _moment(time_ns), "status": word, "exitCode": self.code}


class Crew:
    """All processes of a job on this machine."""

    def __init__(self, children: Children, logs: JobLogs) -> None:
        self._children = children
        self._logs = logs
        self.members: list[Member] = []

    def start(self, planned: Sequence[PlannedProcess], folder: Path, variables: Mapping[str, str]) -> None:
        """Starts processes.

        Raises:
            OSError: One cannot be started.
        """
        for each in planned:
            log, file = self._logs.open(each.log)
            try:
                child = self._children.start(each.command, folder, {**variables, **each.variables}, file)
            finally:
                os.close(file)
            member = Member(each, child, log, time.time_ns())
            child.ended.add_done_callback(partial(_note_end, member))
            self.members.append(member)

    async def ended(self) -> None:
        """Returns when all have ended, or the first of them has failed."""
        left = {member.child.ended for member in self.members}
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            if any(future.result() for future in done):
                return

    async def groups_ended(self, seconds: float) -> bool:
        """Waits for what the processes left behind in their groups; false: after so long some of it still goes on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for member in self.members:
                    await self._children.group_ended(member.child.pid)
                return True
        return False

    async def stop(self, grace_seconds: float, is_urgent: asyncio.Event) -> None:
        """Asks all processes below this one to end, kills them after the grace, and returns when none is left."""
        for member in self.members:
            member.is_stopped = member.code is None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                if not is_urgent.is_set() and self._signal(signal.SIGTERM):
                    await self._none_left(is_urgent)
        while self._signal(signal.SIGKILL):  # noqa: ASYNC110 - nothing tells of processes below processes
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.gather(*(member.child.ended for member in self.members))

    async def _none_left(self, is_urgent: asyncio.Event) -> None:
        while not is_urgent.is_set() and self._signal(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await is_urgent.wait()

    def _signal(self, number: int) -> bool:
        signal_groups([member.child.pid for member in self.members if member.code is None], number)
        return signal_below(os.getpid(), number) or any(member.code is None for member in self.members)


def linger_seconds(variables: Mapping[str, str]) -> float:
    """How long is waited for what a program leaves behind; what cannot be understood is the default."""
    try:
        return max(float(variables.get(LINGER_VARIABLE) or LINGER_SECONDS), 0.0)
    except ValueError:
        return LINGER_SECONDS


def _note_end(member: Member, _: "asyncio.Future[int]") -> None:
    member.end_time_ns = time.time_ns()


def _moment(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1000:06}Z"
