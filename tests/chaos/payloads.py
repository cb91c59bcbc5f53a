"""What writers send: made from a seed, so that nothing has to be remembered to know what should be stored."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics

SHARED = "shared"
"""The series to which each batch of each writer adds one value, that of `mark`."""


@dataclass(frozen=True)
class Payload:
    """The content of a batch: any steps, and values of any bits, NaN of all sorts among them."""

    seed: int
    writer: int
    sequence: int
    points: int

    @property
    def metric(self) -> str:
        """The series of the writer."""
        return own_metric(self.writer)

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """The steps."""
        return self._random(0).view(np.int64)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The values."""
        return self._random(1).view(np.float64)

    @property
    def digest(self) -> bytes:
        """What the batch is recognised by."""
        return hashlib.sha256(self.steps.tobytes() + self.values.tobytes()).digest()

    def batch(self) -> metrics.MetricBatch:
        """The message."""
        own = metrics.SeriesColumns(
            metric=self.metric,
            steps=self.steps.tolist(),
            times=range(self.sequence * self.points, (self.sequence + 1) * self.points),
            doubles=metrics.DoubleValues(values=self.values.tolist()),
        )
        shared = metrics.SeriesColumns(
            metric=SHARED,
            times=[self.sequence],
            int64s=metrics.Int64Values(values=[mark(self.writer, self.sequence)]),
        )
        return metrics.MetricBatch(sequence=self.sequence, series=[own, shared], digest=self.digest)

    def _random(self, column: int) -> NDArray[np.uint64]:
        random = np.random.default_rng([self.seed, self.writer, self.sequence, column])
        return random.integers(0, 2**64, self.points, np.uint64)


def own_metric(writer: int) -> str:
    """The series that one writer alone writes to."""
    return f"writer-{writer}"


def mark(writer: int, sequence: int) -> int:
    """The value that a batch adds to the shared series."""
    return writer << 32 | sequence


def read_mark(value: int) -> tuple[int, int]:
    """Writer and sequence of a value of the shared series."""
    return value >> 32, value & 0xFFFF_FFFF
