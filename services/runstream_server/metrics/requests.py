"""Requests of WriteMetrics as they come: batches of nothing but curves are not taken apart as messages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.metrics.model import Kind, Points, Segment
from runstream_server.native import native

WRITE_METRICS = "/runstream.api.metrics.v1.MetricsService/WriteMetrics"

_FEW = 64
_ITEM = 8


@dataclass(frozen=True, slots=True)
class CurveBatch:
    """A batch of nothing but curves: doubles with a step and a time for each, one or more."""

    sequence: int
    digest: bytes
    metrics: Sequence[str]

    message: bytes
    """All of it, as it was sent."""

    places: bytes
    """For each curve where in the message its steps, times and values begin, and how many there are: four int64."""

    @property
    def has_few(self) -> bool:
        """Whether there are only a few curves, however long."""
        return len(self.metrics) <= _FEW

    def columns(self) -> Sequence[tuple[str, str, Points]]:
        """Metric, description and points of each curve."""
        points = self._gathered() if len(self.message) < len(self.metrics) * _FEW * _ITEM * 3 else self._in_place()
        return [(metric, "", each) for metric, each in zip(self.metrics, points, strict=True)]

    def _in_place(self) -> Iterator[Points]:
        """Where they are in the message, without a copy."""
        for steps, times, values, count in np.frombuffer(self.places, np.int64).reshape(-1, 4).tolist():
            segment = Segment(Kind.DOUBLE, count, np.frombuffer(self.message, np.float64, count, values))
            yield Points(
                np.frombuffer(self.message, np.int64, count, steps),
                np.frombuffer(self.message, np.int64, count, times),
                (segment,),
            )

    def _gathered(self) -> Iterator[Points]:
        """As parts of a copy, which takes less where curves have few points."""
        steps, times, values = np.frombuffer(native.gather(self.message, self.places), np.int64).reshape(3, -1)
        doubles = values.view(np.float64)
        end = 0
        for count in np.frombuffer(self.places, np.int64)[3::4].tolist():
            begin, end = end, end + count
            yield Points(steps[begin:end], times[begin:end], (Segment(Kind.DOUBLE, count, doubles[begin:end]),))


def read_request(data: bytes) -> messages.WriteMetricsRequest | CurveBatch:
    """Reads a request; raises DecodeError if it is none."""
    if native and (batch := native.read_batch(data)):
        sequence, digest, metrics, places = batch
        return CurveBatch(sequence, digest, metrics, data, places)
    return messages.WriteMetricsRequest.FromString(data)
