"""The runs of a sweep as its driver knows them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from runstream.api.runs.v1 import run_pb2
from runstream.core._status import CANCELED, TERMINAL, status_name
from runstream.train.hyperdrive._curve import Curve
from runstream.train.hyperdrive._proposals import Numbers, Trial
from runstream.train.hyperdrive._sweep import NUMBERS_PROPERTY, REPLACES_PROPERTY, STOPPED_PROPERTY, Sweep

NOT_STARTED: Final = "RunnerNotStarted"
"""The error of a run on this machine that no runner has claimed in time."""
MOST_STARTS: Final = 3
"""How often the same hyperparameters are submitted, where no runner starts."""


@dataclass
class SweepRun:
    """A run of a sweep."""

    name: str
    """The resource name."""

    index: int
    numbers: Numbers
    status: str
    replaces: int | None = None
    """The index of the run in whose place it is; None: of no other."""

    curve: Curve = field(default_factory=Curve)
    """The primary metric, turned so that more is better."""

    is_unstarted: bool = False
    """Whether it ended because no runner has started it, which is not its fault."""

    is_stopped: bool = False
    """Whether the policy has decided against it."""

    is_cancelled: bool = False
    """Whether the services were asked to cancel it."""

    read_count: int = 0
    """How many values of the primary metric were read, numbers and others."""

    is_caught_up: bool = False
    """Whether all was read that it had logged when it ended; more may come."""

    is_read: bool = False
    """Whether there is nothing more to read of the primary metric."""

    @property
    def has_result(self) -> bool:
        """Whether it has ended and what it had logged by then is known: another one can take its place."""
        return self.has_ended and (self.is_caught_up or self.is_read)

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
        return self.curve.best


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

    @property
    def under_way(self) -> list[SweepRun]:
        """Those in whose place there cannot be another one yet."""
        return [run for run in self if not run.has_result]

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
            replaces = record.properties.get(REPLACES_PROPERTY)
            run = SweepRun(record.name, int(index), numbers, status, int(replaces) if replaces else None)
            self._runs[int(index)] = run
        if not run.has_ended or run.status == status:
            run.status = status
            run.is_unstarted = record.error.code == NOT_STARTED and status in TERMINAL
        run.is_stopped = run.is_stopped or STOPPED_PROPERTY in record.properties
        return run

    def lose(self, name: str) -> None:
        """Takes note that a run was deleted: there is nothing more to hear of it."""
        for run in self:
            if run.name == name:
                run.status = CANCELED if not run.has_ended else run.status
                run.is_read = True

    def take(self, run: SweepRun, values: Iterable[float]) -> bool:
        """Takes note of what a run has logged; whether the policy decides against the run now."""
        was_stopped = run.is_stopped
        for value in values:
            run.curve.add(value)
            if self._sweep.policy.is_due(run.curve.count):
                self._judge(run, run.curve.count)
        return run.is_stopped and not was_stopped

    def judge_again(self) -> list[SweepRun]:
        """Compares each run with what others have logged since; returns those the policy decides against now."""
        looked_at = [(run, self._sweep.policy.due_before(run.curve.count)) for run in self if not run.is_stopped]
        for run, count in looked_at:
            if count:
                self._judge(run, count)
        return [run for run, _ in looked_at if run.is_stopped]

    def _judge(self, run: SweepRun, count: int) -> None:
        if not run.is_stopped and not run.has_ended:
            curves = {each.name: each.curve for each in self}
            finished = frozenset(each.name for each in self if each.has_ended)
            run.is_stopped = self._sweep.policy.stops(run.name, count, curves, finished)

    def ordinal(self, index: int) -> int:
        """Which combination the run with an index tries, from 0, unless it replaces another one."""
        return index - sum(run.replaces is not None for run in self if run.index < index)

    @property
    def to_replace(self) -> SweepRun | None:
        """A run that was not started, and whose hyperparameters are to be tried by another one."""
        replaced = {run.replaces for run in self}
        unstarted = sorted((run for run in self if run.is_unstarted), key=lambda run: run.index)
        return next((run for run in unstarted if run.index not in replaced and self._may_be_replaced(run)), None)

    def _may_be_replaced(self, run: SweepRun) -> bool:
        """Whether hyperparameters have not been submitted too often: then something else is wrong."""
        starts, former = 1, run.replaces
        while former is not None and former in self._runs:
            starts, former = starts + 1, self._runs[former].replaces
        return starts < MOST_STARTS

    @property
    def tried(self) -> list[Trial]:
        """What samplers learn from."""
        return [Trial(run.numbers, run.best, run.has_result) for run in self]

    @property
    def best(self) -> SweepRun | None:
        """The run with the best value of the primary metric; None: no run has logged it."""
        known = [run for run in self if run.best is not None]
        return max(known, key=lambda run: run.best or 0.0, default=None)
