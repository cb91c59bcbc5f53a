"""What a run has logged of a metric, in a bounded memory."""

import math
from array import array
from collections.abc import Iterable
from typing import Final

MOST_KEPT: Final = 1024
"""How many points of a curve are kept; even."""


class Curve:
    """The best value and the average after each value, of values of which more is better; NaN counts as no number.

    Of a run that logs more than `MOST_KEPT` values that is known after every second one only, then after every fourth
    and so on: what a long run had at some count is what it had a little earlier.
    """

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.count = 0
        """How many values there are."""
        self._numbers = 0
        self._best, self._mean = -math.inf, math.nan
        self._stride = 1
        self._bests, self._means = array("d"), array("d")
        for value in values:
            self.add(value)

    @property
    def best(self) -> float | None:
        """The best value; None: there is no number."""
        return self._best if self._numbers else None

    def add(self, value: float) -> None:
        """Adds a value."""
        self.count += 1
        if not math.isnan(value):
            self._numbers += 1
            self._best = max(self._best, value)
            share = 1 / self._numbers
            self._mean = self._mean * (1 - share) + value * share if self._numbers > 1 else value
        if self.count % self._stride == 0:
            self._keep()

    def best_at(self, count: int) -> float:
        """The best of the first values; minus infinity where there is no number among them."""
        return self._best if count >= self.count else self._kept(self._bests, count, -math.inf)

    def mean_at(self, count: int) -> float:
        """The average of the numbers among the first values; NaN where there is none."""
        return self._mean if count >= self.count else self._kept(self._means, count, math.nan)

    def _keep(self) -> None:
        self._bests.append(self._best)
        self._means.append(self._mean)
        if len(self._bests) == MOST_KEPT:
            self._bests, self._means = self._bests[1::2], self._means[1::2]
            self._stride *= 2

    def _kept(self, values: "array[float]", count: int, nothing: float) -> float:
        number = count // self._stride
        return values[number - 1] if number else nothing
