"""`python -m runstream.train.hyperdrive`: the program of a sweep's run.

It executes the driver in a process of its own, and another one when that is killed: a driver keeps nothing that the
services do not know.
"""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from runstream._channel.backoff import backoff_seconds

MAX_DRIVERS: Final = 20
"""How many drivers in a row may be killed before they have lasted."""
LASTING_SECONDS: Final = 600.0
DRIVE: Final = "drive"
CANCEL: Final = "cancel"
"""In place of `drive`: cancels the runs of the sweep."""


class Drivers(Protocol):
    """Executes drivers, one after the other."""

    is_told: bool
    """Whether the sweep is to end."""

    def run(self, work: str) -> int:
        """Executes a driver; its exit code, negative: the signal that killed it."""


def supervise(
    drivers: Drivers, clock: Callable[[], float] = time.monotonic, pause: Callable[[float], object] = time.sleep
) -> int:
    """Has drivers run the sweep until one comes to the end; its exit code.

    When they are killed again and again, the runs of the sweep are cancelled: nobody would follow them.
    """
    failures = 0
    while failures < MAX_DRIVERS:
        begin_time = clock()
        code = drivers.run(DRIVE)
        if code >= 0 or drivers.is_told:
            return max(code, 1) if code else 0
        has_lasted = clock() - begin_time >= LASTING_SECONDS
        failures = 1 if has_lasted else failures + 1
        print(f"The driver was ended by signal {-code}; another one goes on.", flush=True)  # noqa: T201
        pause(backoff_seconds(failures - 1))
    print(f"{MAX_DRIVERS} drivers in a row were killed; the runs of the sweep are cancelled.", file=sys.stderr)  # noqa: T201
    drivers.run(CANCEL)
    return 1


class Supervisor:
    """Starts drivers, and passes SIGTERM on."""

    def __init__(self) -> None:
        self.is_told = False
        self._driver: subprocess.Popen[bytes] | None = None
        signal.signal(signal.SIGTERM, self._pass_on)

    def run(self, work: str) -> int:
        """Executes a driver; its exit code, negative: the signal that killed it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # the driver inherits that, until it can hear it
        self._driver = subprocess.Popen([sys.executable, "-P", "-m", "runstream.train.hyperdrive", work])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if self.is_told:
            self._driver.terminate()
        return self._driver.wait()

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self.is_told = True
        if self._driver is not None:
            self._driver.send_signal(number)


async def drive(*, cancels: bool = False) -> int:
    """Runs the sweep in the working directory as the run of this job; the exit code.

    SIGTERM cancels the runs of the sweep, whenever it comes; so does `cancels`.
    """
    told = asyncio.Event()
    if cancels:
        told.set()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    from runstream import aio
    from runstream.exceptions import AzureMLException
    from runstream.train.hyperdrive._driver import NO_RESULT, Driver
    from runstream.train.hyperdrive._persistence import persist
    from runstream.train.hyperdrive._sweep import Sweep

    run = aio.Run.get_context(allow_offline=False)
    try:
        record = await persist(run._refresh)
        succeeded = await Driver(Sweep.read(Path()), run._workspace, record, told).drive()
    except AzureMLException as error:
        print(f"The sweep failed: {error.message}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        await aio.close()
    if not succeeded:
        print(NO_RESULT, file=sys.stderr)  # noqa: T201
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(drive(cancels=CANCEL in sys.argv[1:])) if sys.argv[1:] else supervise(Supervisor()))
