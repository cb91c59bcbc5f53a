"""Chooses points of many runs for a chart."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

import numpy as np

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.gateway.mlflow.metrics.points import Int64s, Points, join_points, read_points
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName

MOST_RUNS = 100
MOST_RESULTS = 2_500

_MOST_OF_RUN = MOST_RESULTS + 2 * MOST_RUNS
"""Points of one run, which may have several at a step."""

MOST_STEPS = 250_000
"""Among so many steps the shown ones are chosen; of more every second one is left out, again and again."""

_MOST_KEPT = 200_000
"""Points up to which none is read twice."""


class Sampler:
    """Chooses points of one metric of some runs at steps which are the same for all of them.

    Reads the steps of all first, then the points at those chosen. Memory is bounded, however long the series are.
    """

    def __init__(self, visitor: Visitor, metric: str, interval: tuple[int, int] | None) -> None:
        """`interval` has the first and the last step that may be shown; None: any."""
        self._visitor = visitor
        self._metric = metric
        self._interval = interval
        self._steps: Int64s = np.empty(0, np.int64)
        self._ends: set[int] = set()
        self._kept: dict[RunName, list[Points]] | None = {}

    async def sample(self, runs: Sequence[RunName], count: int) -> Mapping[RunName, Points]:
        """Chooses up to `count` steps, evenly among those of all runs, besides the first and the last of each run.

        Returns the points at these steps, in order of step, time and value; of a run that logged the same step over and
        over again not all of them.
        """
        for run in runs:
            await self._look_at(run)
        chosen = chosen_steps(self._steps, self._ends, count)
        return {run: await self._points(run, chosen) for run in runs}

    async def _look_at(self, run: RunName) -> None:
        waiting: list[Int64s] = []
        ends: set[int] = set()
        async for points in self._read(run, self._interval):
            ends |= {int(points.steps.min()), int(points.steps.max())}
            ends = {min(ends), max(ends)}
            self._keep(run, points)
            waiting.append(points.steps)
            if sum(map(len, waiting)) > MOST_STEPS:
                await self._add_steps(waiting)
                waiting.clear()
        await self._add_steps(waiting)
        self._ends |= ends

    async def _add_steps(self, steps: Sequence[Int64s]) -> None:
        if steps:
            self._steps = await asyncio.to_thread(joined_steps, [self._steps, *steps])

    def _keep(self, run: RunName, points: Points) -> None:
        if self._kept is not None:
            self._kept.setdefault(run, []).append(points)
            if sum(len(part) for parts in self._kept.values() for part in parts) > _MOST_KEPT:
                self._kept = None

    async def _points(self, run: RunName, chosen: Int64s) -> Points:
        parts: list[Points] = []
        if self._kept is not None:
            parts = [_at(points, chosen) for points in self._kept.get(run, ())]
        elif len(chosen):
            async for points in self._read(run, (int(chosen[0]), int(chosen[-1]))):
                parts = _few([*parts, _at(points, chosen)])
        found = join_points(parts)
        return _thinned(found.where(np.lexsort((found.values, found.timestamps, found.steps))), _MOST_OF_RUN)

    def _read(self, run: RunName, interval: tuple[int, int] | None) -> AsyncGenerator[Points, None]:
        request = messages.ReadSeriesRequest(runs=[str(run)], metrics=[self._metric])
        if interval is not None:
            request.min_step, request.max_step = interval
        return read_points(self._visitor, request)


def joined_steps(parts: Sequence[Int64s]) -> Int64s:
    """All steps in ascending order, each once; of very many evenly chosen ones."""
    steps = np.unique(np.concatenate(parts))
    while len(steps) > MOST_STEPS:
        steps = steps[::2]
    return steps


def chosen_steps(steps: Int64s, ends: set[int], count: int) -> Int64s:
    """Up to `count` evenly spaced ones of ascending steps, and the ends."""
    if len(steps) > count:
        steps = steps[[place * len(steps) // count for place in range(count)]]
    return np.union1d(steps, np.array(sorted(ends), np.int64))


def _at(points: Points, steps: Int64s) -> Points:
    return points.where(np.isin(points.steps, steps))


def _few(parts: list[Points]) -> list[Points]:
    """Thins points that are more than can be shown by far."""
    if sum(map(len, parts)) <= _MOST_KEPT:
        return parts
    return [_thinned(join_points(parts), _MOST_KEPT // 2)]


def _thinned(points: Points, count: int) -> Points:
    """Up to `count` of some points, evenly chosen, the first and the last among them."""
    if len(points) <= count:
        return points
    return points.where(np.linspace(0, len(points) - 1, count).round().astype(np.int64))
