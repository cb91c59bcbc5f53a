"""Which runs of a sweep are stopped before their end."""

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from runstream.exceptions import UserErrorException
from runstream.train.hyperdrive._curve import Curve

__all__ = [
    "BanditPolicy",
    "EarlyTerminationPolicy",
    "MedianStoppingPolicy",
    "NoTerminationPolicy",
    "TruncationSelectionPolicy",
]

Curves = Mapping[str, Curve]
"""By run the primary metric, turned so that more is better."""


class EarlyTerminationPolicy(ABC):
    """Stops runs that promise too little.

    A run is looked at each time it has logged the primary metric another `evaluation_interval` times, but not before it
    has logged it `delay_evaluation` times. It is compared with what the others had when they had logged it as often;
    while it runs also with those that come that far later.
    """

    method: ClassVar[str]
    """Its name in documents."""

    def __init__(self, evaluation_interval: int = 1, delay_evaluation: int = 0) -> None:
        self.evaluation_interval = _integer("evaluation_interval", evaluation_interval, 1)
        self.delay_evaluation = _integer("delay_evaluation", delay_evaluation, 0)

    def is_due(self, count: int) -> bool:
        """Whether a run is looked at that has logged the metric `count` times."""
        return count > 0 and count % self.evaluation_interval == 0 and count >= self.delay_evaluation

    def due_before(self, count: int) -> int:
        """When a run was looked at last that has logged the metric `count` times; 0: never."""
        last = count - count % self.evaluation_interval
        return last if self.is_due(last) else 0

    @abstractmethod
    def stops(self, run: str, count: int, curves: Curves, finished: frozenset[str]) -> bool:
        """Whether a run is stopped that has logged the metric `count` times."""

    def to_document(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {"method": self.method} | {name: value for name, value in vars(self).items() if value is not None}


class NoTerminationPolicy(EarlyTerminationPolicy):
    """Lets every run come to its end."""

    method = "none"

    def stops(self, run: str, count: int, curves: Curves, finished: frozenset[str]) -> bool:
        """No."""
        return False


class BanditPolicy(EarlyTerminationPolicy):
    """Stops runs that are too far behind the best one.

    With `slack_factor` 0.2, the goal to maximize and 0.8 as the best value so far, runs below 0.8 / (1 + 0.2) are
    stopped; to minimize, those above 0.8 * (1 + 0.2). With `slack_amount` 0.2 those worse than it by more than that.

    Raises:
        UserErrorException: Not exactly one of `slack_factor` and `slack_amount` is given, or it is not above 0.
    """

    method = "bandit"

    def __init__(
        self,
        evaluation_interval: int = 1,
        slack_factor: float | None = None,
        slack_amount: float | None = None,
        delay_evaluation: int = 0,
    ) -> None:
        super().__init__(evaluation_interval, delay_evaluation)
        slack = slack_factor if slack_amount is None else slack_amount
        if (slack_factor is None) == (slack_amount is None) or slack is None or not slack > 0:
            raise UserErrorException("BanditPolicy needs either slack_factor or slack_amount, above 0.")
        self.slack_factor = slack_factor
        self.slack_amount = slack_amount

    def stops(self, run: str, count: int, curves: Curves, finished: frozenset[str]) -> bool:
        """Whether its best value is out of the slack of the best of all."""
        best = max(curve.best_at(count) for curve in curves.values() if curve.count)
        return curves[run].best_at(count) < best - self._slack(best)

    def _slack(self, best: float) -> float:
        if self.slack_amount is not None:
            return self.slack_amount
        assert self.slack_factor is not None
        # More is better: a metric that is minimized comes negative, and its slack is a part of its size.
        return best - best / (1 + self.slack_factor) if best > 0 else -best * self.slack_factor


class MedianStoppingPolicy(EarlyTerminationPolicy):
    """Stops runs whose best value is worse than the median of the averages of all runs up to the same count."""

    method = "median"

    def stops(self, run: str, count: int, curves: Curves, finished: frozenset[str]) -> bool:
        """Whether its best value is below the median of the averages."""
        averages = [curve.mean_at(count) for curve in curves.values()]
        known = [average for average in averages if not math.isnan(average)]
        return bool(known) and curves[run].best_at(count) < statistics.median(known)


class TruncationSelectionPolicy(EarlyTerminationPolicy):
    """Stops the worst `truncation_percentage` per cent (1 to 99) of the runs that have logged the metric as often.

    With `exclude_finished_jobs` runs that have ended are not counted among them.
    """

    method = "truncation"

    def __init__(
        self,
        truncation_percentage: int,
        evaluation_interval: int = 1,
        delay_evaluation: int = 0,
        exclude_finished_jobs: bool = False,
    ) -> None:
        super().__init__(evaluation_interval, delay_evaluation)
        self.truncation_percentage = _integer("truncation_percentage", truncation_percentage, 1, 99)
        self.exclude_finished_jobs = bool(exclude_finished_jobs)

    def stops(self, run: str, count: int, curves: Curves, finished: frozenset[str]) -> bool:
        """Whether it is among the worst."""
        rivals = {
            name: curve.best_at(count)
            for name, curve in curves.items()
            if curve.count >= count and not (self.exclude_finished_jobs and name in finished and name != run)
        }
        worse = sum(value < rivals[run] for value in rivals.values())
        return worse < int(len(rivals) * self.truncation_percentage / 100) and max(rivals.values()) > rivals[run]


POLICIES: Mapping[str, type[EarlyTerminationPolicy]] = {
    policy.method: policy
    for policy in (NoTerminationPolicy, BanditPolicy, MedianStoppingPolicy, TruncationSelectionPolicy)
}


def policy_of(document: Mapping[str, Any]) -> EarlyTerminationPolicy:
    """The policy that `EarlyTerminationPolicy.to_document` described."""
    settings = dict(document)
    return POLICIES[settings.pop("method")](**settings)


def _integer(name: str, value: int, least: int, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise UserErrorException(f"{name} has to be an integer, {bounds}; got {value!r}.")
    return value
