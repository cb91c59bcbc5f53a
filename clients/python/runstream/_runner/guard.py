"""The guard: watches the runner, ends what a killed one leaves behind, and has another one report the end.

It imports nothing that starts threads, so it can fork whenever it needs to.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Final

from runstream._runner.job import CANCELED, COMPLETED, FAILED, LEFT, NOT_OURS
from runstream._runner.processes import adopt_orphans, signal_below

SETTLED: Final = frozenset({COMPLETED, FAILED, CANCELED, NOT_OURS, LEFT})
MAX_RUNNERS: Final = 20
"""After so many killed runners of one job the guard gives up; the service finds out by the lease."""
PAUSE_SECONDS: Final = 1.0
"""Between a second lost runner and the next one: what kills them may pass."""
LOOK_SECONDS: Final = 0.01
LOST: Final = 20
"""The exit code of a guard that gave up."""

StartRunner = Callable[[bool, int], int]
"""Runs a runner to its end in this process and returns its exit code: whether it comes after a lost one, and the
descriptor that is at its end when the guard dies."""


def guard(run: StartRunner, *, is_lost: bool = False) -> int:
    """Has runners execute a job until one has done what there was to do; its exit code.

    `is_lost` says that another guard and its runner are gone already.
    """
    adopt_orphans()
    watch = Watch()
    for count in range(MAX_RUNNERS):
        if count > 1:
            time.sleep(PAUSE_SECONDS)
        code = watch.run(partial(run, is_lost or count > 0))
        end_left_behind()
        if code in SETTLED:
            return code
    return LOST


class Watch:
    """Starts runners, and passes on what the guard is told."""

    def __init__(self) -> None:
        self._runner = 0
        self._is_told = False
        self._reading, self._writing = os.pipe()
        signal.signal(signal.SIGTERM, self._pass_on)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def run(self, start: Callable[[int], int]) -> int:
        """Forks a runner and waits for its end; its exit code, negative: the signal that killed it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until there is somebody to hear it
        self._runner = os.fork()
        if self._runner == 0:
            os.close(self._writing)
            os._exit(_guarded(start, self._reading))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if self._is_told:
            self._pass_on(signal.SIGTERM, None)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == self._runner:
                self._runner = 0
                return os.waitstatus_to_exitcode(status)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self._is_told = True
        if self._runner:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and this is about to be noted
                os.kill(self._runner, number)


def end_left_behind() -> None:
    """Kills all processes below this one and waits until they are gone; for who has nothing else below."""
    while signal_below(os.getpid(), signal.SIGKILL):
        time.sleep(LOOK_SECONDS)
        _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _guarded(start: Callable[[int], int], pipe: int) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        return start(pipe)
    except BaseException:  # noqa: BLE001 - nothing above this may run in a forked process
        import traceback

        traceback.print_exc()
        return 1
