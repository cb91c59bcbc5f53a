"""The runs of a sweep as its driver knows them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from runstream.api.runs.v1 import run_pb2
from runstream.core._status import CANCELED, TERMINAL, status_name
from runstream.train.hyperdrive._proposals import Numbers, Trial
from runstream.train.hyperdrive._sweep import NUMBERS_PROPERTY, Sweep


@dataclass
class SweepRun:
    """A run of a sweep."""

    name: str
    """The resource name."""

    index: int
    numbers: Numbers
    status: str
    history: list[float] = field(default_factory=list)
    """The values of the primary metric, turned so that more is better."""

    judged: int = 0
    """How many of them the policy has looked at."""

    is_stopped: bool = False
    """Whether the policy has decided against it."""

    is_cancelled: bool = False
    """Whether the services were asked to cancel it."""

    is_read: bool = False
    """Whether there is nothing more to read of the primary metric."""

    @property
    def is_done(self) -> bool:
        """Whether it has ended and all that it logged is known."""
        return self.has_ended and self.is_read

    @property
    def has_ended(self) -> bool:
        """Whether it has a terminal status."""
        return self.status in TERMINAL

    @property
    def best(self) -> float | None:
        """The best value; None: there is none."""
        return max((value for value in self.history if value == value), default=None)


class Trials:
    """All runs of a sweep."""

    def __init__(self, parent: str, sweep: Sweep) -> None:
        """`parent` is the id of the sweep."""
        self._prefix = f"{parent}_"
        self._sweep = sweep
        self._runs: dict[int, SweepRun] = {}

    def __iter__(self) -> Iterator[SweepRun]:
        return iter(self._runs.values())

    def __len__(self) -> int:
        return len(self._runs)

    def run_id(self, index: int) -> str:
        """The id of the run with an index."""
        return f"{self._prefix}{index}"

    @property
    def next_index(self) -> int:
        """The least index without a run."""
        return next(index for index in range(len(self._runs) + 1) if index not in self._runs)

    @property
    def active(self) -> list[SweepRun]:
        """Those that are not done."""
        return [run for run in self if not run.is_done]

    def hear(self, record: run_pb2.Run) -> SweepRun | None:
        """Takes note of how a run is now; None: it is no run of the sweep.

        A run that has ended stays as it is: what was asked earlier may be answered later.
        """
        index = record.name.rpartition("/")[2].removeprefix(self._prefix)
        if not index.isdecimal() or NUMBERS_PROPERTY not in record.properties:
            return None
        status = status_name(record.status)
        run = self._runs.get(int(index))
        if run is None:
            numbers = json.loads(record.properties[NUMBERS_PROPERTY])
            run = self._runs[int(index)] = SweepRun(record.name, int(index), numbers, status)
        if not run.has_ended:
            run.status = status
        return run

    def lose(self, name: str) -> None:
        """Takes note that a run was deleted: there is nothing more to hear of it."""
        for run in self:
            if run.name == name:
                run.status = CANCELED if not run.has_ended else run.status
                run.is_read = True

    def judge(self, run: SweepRun) -> bool:
        """Whether the policy decides against a run that has logged more."""
        policy = self._sweep.policy
        histories: Mapping[str, list[float]] = {each.name: each.history for each in self}
        finished = frozenset(each.name for each in self if each.has_ended)
        due = [count for count in range(run.judged + 1, len(run.history) + 1) if policy.is_due(count)]
        run.judged = len(run.history)
        if not run.is_stopped and not run.has_ended:
            run.is_stopped = any(policy.stops(run.name, count, histories, finished) for count in due)
            return run.is_stopped
        return False

    @property
    def tried(self) -> list[Trial]:
        """What samplers learn from."""
        return [Trial(run.numbers, run.best, run.is_done) for run in self]

    @property
    def best(self) -> SweepRun | None:
        """The run with the best value of the primary metric; None: no run has logged it."""
        known = [run for run in self if run.best is not None]
        return max(known, key=lambda run: run.best or 0.0, default=None)
