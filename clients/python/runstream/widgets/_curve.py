"""One metric as a chart shows it: a few points that keep its shape, however many values it has."""

import itertools
from array import array
from collections.abc import Iterable
from typing import Any, Final

from runstream.widgets._picture import Section, json_number

MAX_POINTS: Final = 1000

Point = tuple[int, float]
"""Step and value."""


class Curve:
    """The points of one metric, and what is known of all of its values."""

    def __init__(self, name: str, count: int = 0) -> None:
        self.name = name
        self.count = count
        """How many values there are, numbers or not."""
        self.last = self.least = self.greatest = float("nan")
        self._points: list[Point] = []
        self._is_sorted = True
        self._section: Section | None = None

    def summarize(self, last: float, least: float, greatest: float) -> None:
        """Takes what is known of the values before those that are added."""
        self.last, self.least, self.greatest = last, least, greatest
        self._section = None

    def load(self, points: Iterable[Point]) -> None:
        """Takes points that stand for the values so far, ascending by step."""
        self._points = [*points, *self._points]
        self._is_sorted, self._section = False, None

    def add(self, start_index: int, steps: Iterable[int], values: Iterable[Any]) -> None:
        """Takes values in the order they were logged; what is no number is counted."""
        pairs = list(zip(steps, values, strict=False))
        numbers = [(step, float(value)) for step, value in pairs if isinstance(value, (int, float))]
        self.count = max(self.count, start_index + len(pairs))
        self._section = None
        if not numbers:
            return
        self.last = numbers[-1][1]
        present = [point for point in numbers if point[1] == point[1]]
        known = [number for number in (self.least, self.greatest) if number == number]
        extremes = [*known, *(value for _, value in present)]
        if extremes:
            self.least, self.greatest = min(extremes), max(extremes)
        self._points += present
        self._is_sorted = False
        if len(self._points) > 4 * MAX_POINTS:
            self._thin()

    @property
    def is_empty(self) -> bool:
        """Whether no number was seen yet."""
        return not self._points and self.last != self.last

    def points(self) -> list[Point]:
        """Up to 1,000 points, ascending by step."""
        if not self._is_sorted or len(self._points) > MAX_POINTS:
            self._thin()
        return self._points

    def section(self) -> Section:
        """What is shown: numbers as in JSON, columns as float64 in the byte order of the machine."""
        if self._section is None:
            points = self.points()
            self._section = {
                "name": self.name,
                "count": self.count,
                "last": json_number(self.last),
                "least": json_number(self.least),
                "greatest": json_number(self.greatest),
                "steps": array("d", [step for step, _ in points]).tobytes(),
                "values": array("d", [value for _, value in points]).tobytes(),
            }
        return self._section

    def _thin(self) -> None:
        """Goes down to half of the most points, so that it is not done again with each value."""
        self._points.sort(key=lambda point: point[0])
        self._is_sorted = True
        if len(self._points) > MAX_POINTS:
            self._points = thin(self._points, MAX_POINTS // 2)


def thin(points: list[Point], limit: int) -> list[Point]:
    """At most `limit` (4 or more) of points that ascend by step.

    The first and the last one are kept, and of equally wide ranges of steps the least and the greatest.
    """
    if len(points) <= limit:
        return points
    first, last = points[0], points[-1]
    width = max(last[0] - first[0], 1) / (limit // 2 - 1)
    kept: list[Point] = []
    ranges = itertools.groupby(points[1:-1], key=lambda point: min(int((point[0] - first[0]) / width), limit // 2 - 2))
    for _, group in ranges:
        kept += _extremes(list(group))
    return [first, *kept, last]


def _extremes(points: list[Point]) -> list[Point]:
    places = range(len(points))
    lowest = min(places, key=lambda place: points[place][1])
    highest = max(places, key=lambda place: points[place][1])
    return [points[place] for place in sorted({lowest, highest})]
