"""The child processes of a runner, those it adopts included."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from runstream._runner.processes import die_with, has_group

LOOK_SECONDS: Final = 0.5
"""How often is looked for what no signal tells."""


class Child:
    """A process that was started here, in a session and a process group of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The exit code; negative: the signal that killed it."""

    @property
    def pid(self) -> int:
        """The process id, and that of the group."""
        return self._process.pid

    def end(self, code: int) -> None:
        """Takes note of the end."""
        self._process.returncode = code
        if not self.ended.done():
            self.ended.set_result(code)


class Children:
    """Starts processes and waits for them; the only one in its process that does."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Children"]:
        """Hears of the ends of processes while the context is open."""
        children, loop = cls(), asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, children._reap)
        try:
            yield children
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)

    def start(self, command: Sequence[str], folder: Path, environment: Mapping[str, str], output: int) -> Child:
        """Starts a process that prints to an open file and reads nothing.

        Raises:
            OSError: It cannot be started.
        """
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid()),
        )
        child = self._children[process.pid] = Child(process)
        return child

    async def group_ended(self, group: int) -> None:
        """Returns when a process group has no process any more."""
        while has_group(group):
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._end(*ended)
        self._changed.set()

    def _end(self, pid: int, status: int) -> None:
        child = self._children.pop(pid, None)
        if child is not None:
            child.end(os.waitstatus_to_exitcode(status))
