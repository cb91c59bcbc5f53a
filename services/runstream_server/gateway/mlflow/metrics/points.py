"""Points of series as columns."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.gateway.mlflow.fields import number
from runstream_server.gateway.visitors import Visitor

Int64s: TypeAlias = NDArray[np.int64]
Doubles: TypeAlias = NDArray[np.float64]

_MICROSECONDS = 1_000


@dataclass(frozen=True, slots=True)
class Points:
    """Numbers of one series, as columns of equal length."""

    indexes: Int64s
    """Their places within the series."""

    timestamps: Int64s
    """Milliseconds since the Unix epoch, UTC."""

    steps: Int64s
    values: Doubles

    def __len__(self) -> int:
        return len(self.indexes)

    def where(self, chosen: Any) -> "Points":
        """The chosen ones: a mask, places in the wanted order, or a slice."""
        return Points(self.indexes[chosen], self.timestamps[chosen], self.steps[chosen], self.values[chosen])

    def documents(self, metric: str, **more: str) -> Iterator[dict[str, Any]]:
        """What clients get of each."""
        columns = (self.values.tolist(), self.timestamps.tolist(), self.steps.tolist())
        for value, timestamp, step in zip(*columns, strict=True):
            yield {"key": metric, "value": number(value), "timestamp": timestamp, "step": step, **more}


def join_points(parts: Sequence[Points]) -> Points:
    """Joins points; none of them are none."""
    if not parts:
        return Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return Points(
        np.concatenate([part.indexes for part in parts]),
        np.concatenate([part.timestamps for part in parts]),
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


async def read_points(visitor: Visitor, request: messages.ReadSeriesRequest) -> AsyncGenerator[Points, None]:
    """Yields the numbers that a request asks for, in the order they were stored. Truth values count as 0 and 1.

    Raises:
        Refusal: The caller does not reach a run.
    """
    read = visitor.services.metrics.ReadSeries
    async with aclosing(visitor.stream(read, request, messages.ReadSeriesResponse)) as responses:
        async for response in responses:
            values = _numbers(response.columns)
            if values is not None and len(values):
                times = np.array(response.columns.times, np.int64)
                indexes = np.arange(response.start_index, response.start_index + len(values))
                yield Points(indexes, times // _MICROSECONDS, np.array(response.columns.steps, np.int64), values)


def _numbers(columns: messages.SeriesColumns) -> Doubles | None:
    match columns.WhichOneof("values"):
        case "doubles":
            return np.array(columns.doubles.values, np.float64)
        case "int64s":
            return np.array(columns.int64s.values, np.float64)
        case "bools":
            return np.array(columns.bools.values, np.float64)
    return None
