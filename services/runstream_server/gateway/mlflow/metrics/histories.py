"""Reads the history of a metric in the order that clients expect: by time, then step, then value."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.errors import InvalidPageToken
from runstream_server.gateway.mlflow.metrics.points import Points, join_points, read_points
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName
from runstream_server.paging import page_token, read_page_token

MOST_POINTS = 25_000
"""How many points a page has at most."""

_LISTING = "metrics/get-history"
_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends: after `told` of the points that equal its last one, among those from `start_index` on."""

    timestamp: int
    step: int

    value: float
    """NaN is after all others."""

    told: int

    start_index: int
    """All points before this place of the series were told."""


@dataclass(frozen=True, slots=True)
class Page:
    """Points in order."""

    points: Points

    end: Place | None
    """Where the next page begins; None: this is the last one."""


async def read_page(visitor: Visitor, run: RunName, metric: str, after: Place | None, count: int) -> Page:
    """Reads up to `count` points behind a place.

    A series is stored as it was logged, which is nearly the order that is asked for. So points are read from the first
    one that was not told until there is one more than the page takes; the rest of the series is looked through only for
    earlier points than that, which the service finds without reading it as long as there are none. In memory there are
    some times as many points as the page takes, whatever the length of the series and its order.
    """
    reading = _Reading(visitor, run, metric, after)
    first = await reading.first(count)
    found = _lowest(first, count + 1)
    if len(first) > count:
        found = await reading.with_earlier(found)
    page = found.where(slice(count))
    return Page(page, _end(after, first, page) if len(found) > count else None)


class _Reading:
    """Reads what is stored behind a place."""

    def __init__(self, visitor: Visitor, run: RunName, metric: str, after: Place | None) -> None:
        self._visitor = visitor
        self._after = after
        self._told = after.told if after else 0
        self._request = messages.ReadSeriesRequest(runs=[str(run)], metrics=[metric])
        if after is not None:
            self._request.start_index, self._request.min_time = after.start_index, after.timestamp * 1_000

    async def first(self, count: int) -> Points:
        """The first points, more than `count` if there are more."""
        parts: list[Points] = []
        async with aclosing(read_points(self._visitor, self._request)) as slices:
            async for each in slices:
                self._request.start_index = int(each.indexes[-1]) + 1
                parts.append(self._behind(each))
                if sum(map(len, parts)) > count:
                    break
        return join_points(parts)

    async def with_earlier(self, found: Points) -> Points:
        """As many points as were found, the lowest of them and of those that are left."""
        count, waiting = len(found), [found]
        self._request.max_time = min(int(found.timestamps[-1]) * 1_000 + 999, _INT64[-1])
        async with aclosing(read_points(self._visitor, self._request)) as slices:
            async for each in slices:
                waiting.append(self._behind(each))
                if sum(map(len, waiting)) > 2 * MOST_POINTS:
                    waiting = [_lowest(join_points(waiting), count)]
        return _lowest(join_points(waiting), count)

    def _behind(self, points: Points) -> Points:
        """Those of the next points that were not told."""
        if self._after is None:
            return points
        greater, equal = _compared(points, self._after)
        told = equal & (equal.cumsum() <= self._told)
        self._told -= int(told.sum())
        return points.where(greater | (equal & ~told))


def _compared(points: Points, place: Place) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which points come after a place, and which equal its point."""
    no_number = np.isnan(points.values)
    greater = np.zeros(len(points), bool) if isnan(place.value) else no_number | (points.values > place.value)
    equal = no_number if isnan(place.value) else points.values == place.value
    for column, own in ((points.steps, place.step), (points.timestamps, place.timestamp)):
        greater = (column > own) | ((column == own) & greater)
        equal = (column == own) & equal
    return greater, equal


def _lowest(points: Points, count: int) -> Points:
    order = np.lexsort((points.indexes, points.values, points.steps, points.timestamps))
    return points.where(order[:count])


def _end(after: Place | None, first: Points, page: Points) -> Place:
    timestamp, step, value = int(page.timestamps[-1]), int(page.steps[-1]), float(page.values[-1])
    untold = np.setdiff1d(first.indexes, page.indexes)
    start = int(untold.min()) if len(untold) else int(first.indexes[-1]) + 1
    place = Place(timestamp, step, value, 0, start)
    _, equal = _compared(page, place)
    if after is not None and _compared(page.where(slice(-1, None)), after)[1].any():
        return Place(timestamp, step, value, after.told + int(equal.sum()), after.start_index)
    return Place(timestamp, step, value, int((equal & (page.indexes >= start)).sum()), start)


def history_token(run: RunName, metric: str, place: Place | None) -> str:
    """The token of the page behind a place, for this metric of this run only; empty: there is none."""
    if place is None:
        return ""
    parts = (place.timestamp, place.step, place.value, place.told, place.start_index)
    return page_token((_LISTING, str(run), metric), [repr(part) for part in parts])


def read_history_token(run: RunName, metric: str, token: str) -> Place | None:
    """Where a page begins; None for the first one. Raises InvalidPageToken."""
    parts = read_page_token(token, (_LISTING, str(run), metric), 5)
    return _place(parts) if parts is not None else None


def _place(parts: Sequence[str]) -> Place:
    try:
        timestamp, step, told, start = (int(parts[place]) for place in (0, 1, 3, 4))
        value = float(parts[2])
    except ValueError:
        raise InvalidPageToken from None
    if not all(each in _INT64 for each in (timestamp * 1_000, step, told, start)) or min(told, start) < 0:
        raise InvalidPageToken
    return Place(timestamp, step, value, told, start)
