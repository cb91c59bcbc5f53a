"""One child process: started so that it cannot outlive us, stopped by ever firmer signals, restarted when it dies."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runstream_server.embedded.errors import ChildFailed, EmbeddedError

logger = logging.getLogger(__name__)

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_LIMIT_BYTES = 10 << 20
SHOWN_LOG_BYTES = 2000
PROBE_SECONDS = 0.01
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
HEALTHY_AFTER_SECONDS = 30.0
KILL_SECONDS = 60.0

StopSignals = Sequence[tuple[signal.Signals, float]]
"""Signals in the order they are tried, each with the seconds it is given; SIGKILL comes after the last."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, as whom, and how to tell it to stop."""

    name: str
    command: Sequence[str]
    folder: Path
    """Its working folder."""

    log: Path
    """Its output is appended here."""

    environment: Mapping[str, str]
    stop_signals: StopSignals
    user: tuple[int, int] | None = None
    """Numbers of the user and group to become; None to stay who we are."""

    descriptors: Sequence[int] = ()
    """File descriptors of ours that it inherits."""

    ready_seconds: float = 60.0
    """How long it may take until it serves."""


async def launch(program: Program) -> asyncio.subprocess.Process:
    """Starts a program, in a session of its own so that Ctrl-C in a terminal reaches us alone."""
    user, group = program.user or (-1, -1)
    with program.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(user), str(group)),
            *program.command,
            cwd=program.folder,
            env=program.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=program.descriptors,
            start_new_session=True,
        )


async def stop(process: asyncio.subprocess.Process, signals: StopSignals) -> None:
    """Ends a process and waits for its end."""
    for number, seconds in (*signals, (signal.SIGKILL, KILL_SECONDS)):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)


def rotate(log: Path) -> int:
    """Puts a log that has grown large aside, keeping one older log; returns the size of the log in bytes."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log.touch(mode=0o600)
    if log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
        log.touch(mode=0o600)
    return log.stat().st_size


def read_end(log: Path, since: int) -> str:
    """What was logged after the first `since` bytes, at most the last few lines of it."""
    with log.open("rb") as file:
        file.seek(max(since, log.stat().st_size - SHOWN_LOG_BYTES))
        return file.read().decode(errors="replace").strip()


class Child:
    """A program that is started again when it ends.

    `prepare` runs before each start. `serves` gets the process id and tells whether the program is ready for its users.
    """

    def __init__(
        self, program: Program, *, prepare: Callable[[], Awaitable[None]], serves: Callable[[int], Awaitable[bool]]
    ) -> None:
        self.program = program
        self.restarts = 0
        self._prepare = prepare
        self._serves = serves
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None while it is down."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts the program and returns when it serves.

        Raises:
            ChildFailed: It ended, or does not serve in time. It is stopped then.
        """
        await self._prepare()
        since = rotate(self.program.log)
        self._process = await launch(self.program)
        try:
            await self._until_it_serves(self._process, since)
        except BaseException:
            await self.stop()
            raise

    async def _until_it_serves(self, process: asyncio.subprocess.Process, since: int) -> None:
        deadline = time.monotonic() + self.program.ready_seconds
        while not await self._serves(process.pid):
            if process.returncode is not None:
                problem = read_end(self.program.log, since) or f"it ended with code {process.returncode}"
                raise ChildFailed(self.program.name, problem, self.program.log)
            if time.monotonic() > deadline:
                raise ChildFailed(self.program.name, "it does not answer", self.program.log)
            await asyncio.sleep(PROBE_SECONDS)

    def kill(self) -> None:
        """Has the program end by the firmest of its stop signals, and does not wait."""
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(self.program.stop_signals[-1][0])

    async def stop(self) -> None:
        """Stops the program, if it runs."""
        if self._process:
            await stop(self._process, self.program.stop_signals)

    async def keep_running(self) -> None:
        """Starts the program again whenever it ends, after a pause that grows while it does not stay up."""
        pause = FIRST_PAUSE_SECONDS
        while self._process:
            started = time.monotonic()
            code = await self._process.wait()
            logger.error("a server process ended", extra={"child": self.program.name, "exit_code": code})
            if time.monotonic() - started > HEALTHY_AFTER_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            await self._restart()

    async def _restart(self) -> None:
        try:
            await self.start()
        except (EmbeddedError, OSError) as error:
            logger.error(
                "a server process did not start again", extra={"child": self.program.name, "error": str(error)}
            )
        else:
            self.restarts += 1
            logger.warning("a server process was started again", extra={"child": self.program.name, "pid": self.pid})


@asynccontextmanager
async def keep_running(child: Child) -> AsyncIterator[None]:
    """Runs a child while the context is open; it serves when the context is entered, and is gone when it is left."""
    await child.start()
    keeper = asyncio.create_task(child.keep_running(), name=f"keep-{child.program.name}-running")
    try:
        yield
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        await child.stop()
