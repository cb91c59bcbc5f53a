"""Drivers of a sweep that are killed again and again."""

import signal

import pytest

from runstream.train.hyperdrive.__main__ import CANCEL, DRIVE, LASTING_SECONDS, MAX_DRIVERS, supervise


class Killed:
    """Drivers that are killed, after so many seconds each."""

    def __init__(self, lasting: list[float]) -> None:
        self.is_told = False
        self.works: list[str] = []
        self.seconds = 0.0
        self._lasting = lasting

    def run(self, work: str) -> int:
        """A driver; the last one comes to its end."""
        self.works.append(work)
        if work == CANCEL or len(self.works) > len(self._lasting):
            return 0
        self.seconds += self._lasting[len(self.works) - 1]
        return -signal.SIGKILL

    def clock(self) -> float:
        """Seconds that have passed."""
        return self.seconds

    def pause(self, seconds: float) -> None:
        """Passes time."""
        self.seconds += seconds


def test_when_no_driver_lasts_the_runs_are_cancelled() -> None:
    killed = Killed([1.0] * 100)

    assert supervise(killed, killed.clock, killed.pause) == 1
    assert killed.works == [DRIVE] * MAX_DRIVERS + [CANCEL]


@pytest.mark.parametrize("count", [MAX_DRIVERS - 1, 3 * MAX_DRIVERS])
def test_drivers_that_last_may_be_killed_as_often_as_it_happens(count: int) -> None:
    killed = Killed([LASTING_SECONDS] * count)

    assert supervise(killed, killed.clock, killed.pause) == 0
    assert killed.works == [DRIVE] * (count + 1)
