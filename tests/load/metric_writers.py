"""Writers of metrics as raw bytes: they cost as little as they can, and each batch holds a curve of its own."""

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.metrics.convert import encode_points
from runstream_server.metrics.model import Kind, Points, Segment
from tests.load.discarding import METHOD

NOISE = 1 << 20


class Curves:
    """Losses of a training as it logs them: they fall, with single-precision noise, every 100 ms or so."""

    def __init__(self, seed: int = 7) -> None:
        random = np.random.default_rng(seed)
        self._noise = 0.05 * random.standard_normal(NOISE)
        self._jitter = np.cumsum(random.integers(98_000, 102_000, NOISE))
        self._random = random

    def points(self, count: int, first_step: int = 0) -> Points:
        """A curve unlike those before."""
        start = int(self._random.integers(NOISE - count))
        steps = np.arange(first_step, first_step + count)
        losses = np.exp(-steps / 30_000) + self._noise[start : start + count]
        times = 1_700_000_000_000_000 + self._jitter[start : start + count]
        values: NDArray[np.float64] = losses.astype(np.float32).astype(np.float64)
        return Points(steps, times, [Segment(Kind.DOUBLE, count, values)])


def batches(curves: Curves, batch_count: int, series: Sequence[str], points: int) -> Iterator[bytes]:
    """Serialized batches from sequence 1 on."""
    for number in range(batch_count):
        message = messages.WriteMetricsRequest()
        message.batch.sequence = number + 1
        for name in series:
            columns = message.batch.series.add(metric=name)
            encode_points(columns, curves.points(points, number * points), 0)
        yield message.SerializeToString()


async def write(channel: grpc.aio.Channel, run: str, writer: str, requests: Sequence[bytes]) -> None:
    """Sends batches as fast as the server takes them, until all are acknowledged."""
    call: Any = channel.stream_stream(METHOD, response_deserializer=messages.WriteMetricsResponse.FromString)()
    opened = messages.WriteMetricsRequest(open=messages.OpenMetrics(run=run, writer=writer))
    await call.write(opened.SerializeToString())
    await call.read()
    for request in requests:
        await call.write(request)
    durable = 0
    while durable < len(requests):
        response = await call.read()
        if response.acknowledged.refusals:
            raise RuntimeError(f"refused: {response.acknowledged.refusals[0]}")
        durable = max(durable, response.acknowledged.durable_sequence)
    await call.done_writing()
    call.cancel()
