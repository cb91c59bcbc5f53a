"""What ReadLatestValues has to say of what was stored, worked out from all values."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from random import Random

import grpc

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from tests import stubs

Row = tuple[str, str, int, int, str]
"""Run, metric, step, time, and the value by its representation."""

_NUMBERS = ("doubles", "int64s", "bools")
_SPECIAL = [math.nan, math.inf, -math.inf, 0.5, 1.5]


def columns_of(
    metric: str, values: Sequence[object], steps: Iterable[int] = (), times: Iterable[int] = ()
) -> messages.SeriesColumns:
    """Values of one type, with these steps or none, and these times or one for each."""
    columns = messages.SeriesColumns(metric=metric, steps=steps, times=times or range(1, len(values) + 1))
    match values[0]:
        case bool():
            columns.bools.values.extend(values)  # type: ignore[arg-type]
        case int():
            columns.int64s.values.extend(values)  # type: ignore[arg-type]
        case float():
            columns.doubles.values.extend(values)  # type: ignore[arg-type]
        case str():
            columns.strings.values.extend(values)  # type: ignore[arg-type]
        case _:
            columns.nulls.count = len(values)
    return columns


def random_batch(random: Random, metrics: Sequence[str]) -> list[messages.SeriesColumns]:
    """Values of all types, at few different steps and times, so that many are alike."""
    return [_random_columns(random, metric) for metric in metrics if random.random() < 0.7]


def _random_columns(random: Random, metric: str) -> messages.SeriesColumns:
    count = random.randint(1, 90)
    choices: list[list[object]] = [[*_SPECIAL], [*_SPECIAL], [-(2**63), 7, 2**53 + 1], [True, False], ["text"], [None]]
    values = random.choices(random.choice(choices), k=count)
    steps = random.choice([[], range(count), range(count, 0, -1), random.choices([-5, 40, 90], k=count)])
    return columns_of(metric, values, steps, random.choices([10, 20, 30], k=count))


class LatestModel:
    """All values of some runs."""

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._numbers: defaultdict[tuple[str, str], list[tuple[int, int, float]]] = defaultdict(list)

    def store(self, run: str, batch: Iterable[messages.SeriesColumns]) -> None:
        """Takes in a batch that is stored as a whole."""
        for columns in batch:
            place, field = (run, columns.metric), str(columns.WhichOneof("values"))
            steps = columns.steps or range(self._counts[place], self._counts[place] + len(columns.times))
            self._counts[place] += len(columns.times)
            if field in _NUMBERS:
                values = map(float, getattr(columns, field).values)
                self._numbers[place].extend(zip(steps, columns.times, values, strict=True))

    def latest(self) -> list[Row]:
        """What the service has to answer for all series of all runs."""
        return [(*place, *_latest(self._numbers[place])) for place in sorted(self._numbers)]


def _latest(numbers: Sequence[tuple[int, int, float]]) -> tuple[int, int, str]:
    last_step = max(step for step, _, _ in numbers)
    last_time = max(time for step, time, _ in numbers if step == last_step)
    values = [value for step, time, value in numbers if (step, time) == (last_step, last_time)]
    return last_step, last_time, repr(max(values, key=lambda value: (not math.isnan(value), value)))


async def latest_values(channel: grpc.aio.Channel, runs: Sequence[str], metrics: Sequence[str] = ()) -> list[Row]:
    """What the service answers."""
    request = messages.ReadLatestValuesRequest(runs=runs, metrics=metrics)
    return [
        (each.run, each.metric, each.step, each.time, repr(each.value))
        async for response in stubs.metrics(channel).ReadLatestValues(request)
        for each in response.values
    ]
