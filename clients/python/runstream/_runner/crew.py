"""The processes of a job while they execute: together they end well, or the first one that fails ends the others."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from runstream._runner.children import Children
from runstream._runner.members import Member, Rank, Told
from runstream._runner.output import JobLogs
from runstream._runner.processes import signal_below

LOOK_SECONDS: Final = 0.05
"""How often is looked for processes that tell nobody of their end."""
LINGER_VARIABLE: Final = "RUNSTREAM_LINGER_SECONDS"
"""How long processes that a program leaves in its process group may go on after it ended well."""
LINGER_SECONDS: Final = 300.0


class Crew:
    """All processes of a job on this machine."""

    def __init__(self, children: Children, logs: JobLogs) -> None:
        self._children = children
        self._logs = logs
        self._started: list[Member] = []
        self._ranks: list[Rank] = []
        self._files: list[int] = []

    @property
    def members(self) -> Sequence[Told]:
        """The processes of the job. Of an MPI job they are the ranks, unless it is the launcher that failed."""
        for rank in self._ranks:
            rank.refresh()
        is_launched = all(member.code == 0 for member in self._started) or any(rank.code for rank in self._ranks)
        return self._ranks if self._ranks and is_launched else self._started

    @property
    def is_well(self) -> bool:
        """Whether no process that ended by itself has failed."""
        return not any(member.code and not member.is_stopped for member in self._started)

    def start(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        log: str,
        *,
        is_helper: bool = False,
    ) -> None:
        """Starts a process that prints to the log file `user_logs/<log>`.

        Raises:
            OSError: It cannot be started.
        """
        path, file = self._logs.open(log)
        try:
            self._start(name, command, folder, variables, path, file, is_helper)
        finally:
            os.close(file)

    def launch(
        self, command: Sequence[str], folder: Path, variables: Mapping[str, str], log: Path, ranks: Sequence[Rank]
    ) -> None:
        """Starts a program that starts the processes of the job.

        Raises:
            OSError: It cannot be started.
        """
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._start("mpirun", command, folder, variables, log, file, is_helper=False)
        finally:
            os.close(file)
        self._ranks.extend(ranks)

    def open_logs(self, names: Sequence[str]) -> list[Path]:
        """Makes log files that processes open themselves, which are thought of as written until the end."""
        opened = [self._logs.open(name) for name in names]
        self._files.extend(file for _, file in opened)
        return [path for path, _ in opened]

    def close(self) -> None:
        """Lets go of the log files."""
        while self._files:
            os.close(self._files.pop())

    async def ended(self) -> None:
        """Returns when all but helpers have ended, or the first process has failed."""
        awaited = {member.child.ended for member in self._started if not member.is_helper}
        left = {member.child.ended for member in self._started}
        while awaited & left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            if any(future.result() for future in done):
                return

    async def groups_ended(self, seconds: float) -> bool:
        """Waits for what the processes left behind in their groups; false: after so long some of it still goes on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for member in self._started:
                    if not member.is_helper:
                        await self._children.group_ended(member.pid)
                return True
        return False

    async def stop(self, grace_seconds: float, is_urgent: asyncio.Event) -> None:
        """Asks all processes below this one to end, kills them after the grace, and returns when none is left."""
        told: list[Told] = [*self._started, *self._ranks]
        for member in told:
            member.refresh()
            member.is_stopped = member.is_stopped or member.code is None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                if not is_urgent.is_set() and self._signal(signal.SIGTERM):
                    await self._none_left(is_urgent)
        while self._signal(signal.SIGKILL):  # noqa: ASYNC110 - nothing tells of processes below processes
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.gather(*(member.child.ended for member in self._started))

    def _start(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        log: Path,
        file: int,
        is_helper: bool,
    ) -> None:
        child = self._children.start(command, folder, variables, file)
        member = Member(name, log, child, time.time_ns(), is_helper=is_helper)
        child.ended.add_done_callback(partial(_note_end, member))
        self._started.append(member)

    async def _none_left(self, is_urgent: asyncio.Event) -> None:
        while not is_urgent.is_set() and self._signal(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await is_urgent.wait()

    def _signal(self, number: int) -> bool:
        left = [member.pid for member in self._started if member.code is None]
        return signal_below(os.getpid(), number, left) or bool(left)


def linger_seconds(variables: Mapping[str, str]) -> float:
    """How long is waited for what a program leaves behind; what cannot be understood is the default."""
    try:
        return max(float(variables.get(LINGER_VARIABLE) or LINGER_SECONDS), 0.0)
    except ValueError:
        return LINGER_SECONDS


def _note_end(member: Member, _: "asyncio.Future[int]") -> None:
    member.end_time_ns = time.time_ns()
