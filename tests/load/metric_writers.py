"""Writers of metrics as raw bytes: they cost as little as they can, and each batch holds a curve of its own."""

import asyncio
import hashlib
import random
import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import numpy as np
from numpy.typing import NDArray

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.run_pb2 import Run
from runstream_server.metrics.convert import encode_points
from runstream_server.metrics.encoding import encode_chunk
from runstream_server.metrics.layouts import varint
from runstream_server.metrics.model import Chunk, Kind, Points, Segment
from tests.load.discarding import METHOD
from tests.load.light_streams import LightConnection, LightStream

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

NOISE = 1 << 20
BATCH_TAG = b"\x12"
"""`WriteMetricsRequest.batch` on the wire."""
WORKSPACE = "workspaces/default"
FILL_CHUNK = 10_000
FILL_SERIES = 1_000_000


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


async def open_stream(channel: grpc.aio.Channel, run: str, writer: str) -> Any:
    """Opens a stream and waits for the answer."""
    call: Any = channel.stream_stream(METHOD, response_deserializer=messages.WriteMetricsResponse.FromString)()
    opened = messages.WriteMetricsRequest(open=messages.OpenMetrics(run=run, writer=writer))
    await call.write(opened.SerializeToString())
    await call.read()
    return call


def cancel_all(calls: Sequence[Any]) -> None:
    """Ends streams."""
    for call in calls:
        call.cancel()


async def write(channel: grpc.aio.Channel, run: str, writer: str, requests: Sequence[bytes]) -> None:
    """Sends batches as fast as the server takes them, until all are acknowledged."""
    call = await open_stream(channel, run, writer)
    for request in requests:
        await call.write(request)
    durable = 0
    while durable < len(requests):
        durable = await _acknowledged(call)
    await call.done_writing()
    call.cancel()


async def _acknowledged(call: Any) -> int:
    """Waits for an acknowledgement; nothing may be refused."""
    response = await call.read()
    if response is grpc.aio.EOF:
        raise RuntimeError(f"the stream ended: {await call.code()} {await call.details()}")
    return _durable(response)


def _durable(response: messages.WriteMetricsResponse) -> int:
    if response.acknowledged.refusals:
        raise RuntimeError(f"refused: {response.acknowledged.refusals[0]}")
    return int(response.acknowledged.durable_sequence)


async def open_streams(channels: Sequence[grpc.aio.Channel], runs: Sequence[str], writer: str) -> Sequence[Any]:
    """Opens a stream for each run, a few at a time."""
    room = asyncio.Semaphore(50)

    async def one(place: int, run: str) -> Any:
        async with room:
            return await open_stream(channels[place % len(channels)], run, f"{writer}{place}")

    return await asyncio.gather(*(one(place, run) for place, run in enumerate(runs)))


async def open_light_streams(
    connections: Sequence[LightConnection], runs: Sequence[str], writer: str
) -> Sequence[LightStream]:
    """Opens a stream for each run, a few at a time, of which a message costs little here."""
    room = asyncio.Semaphore(50)

    async def one(place: int, run: str) -> LightStream:
        async with room:
            stream = connections[place % len(connections)].open()
            opened = messages.WriteMetricsRequest(open=messages.OpenMetrics(run=run, writer=f"{writer}{place}"))
            stream.write(opened.SerializeToString())
            await stream.read()
            return stream

    return await asyncio.gather(*(one(place, run) for place, run in enumerate(runs)))


async def write_paced(
    stream: LightStream, series: Sequence[str], seconds: float, period_seconds: float
) -> Sequence[float]:
    """Logs a value of each series each period, `seconds` / `period_seconds` times, whatever the server does.

    Sends as the uplink does (`runstream._uplink.append`, and any client that follows the contract): at once what there
    is when nothing is unacknowledged, otherwise what gathered until the acknowledgement came. None of it fills a batch.

    Returns how many milliseconds it took from each period, when its values were logged, until they were acknowledged.
    """
    begun = time.perf_counter() + random.random() * period_seconds
    count = round(seconds / period_seconds)
    taken: list[float] = []
    sequence = 0
    while len(taken) < count:
        await asyncio.sleep(begun + len(taken) * period_seconds - time.perf_counter())
        logged = min(count, int((time.perf_counter() - begun) / period_seconds) + 1)
        gathered = max(1, logged - len(taken))
        sequence += 1
        stream.write(_gathered(tuple(series), gathered, sequence))
        while _durable(messages.WriteMetricsResponse.FromString(await stream.read())) < sequence:
            pass
        late = time.perf_counter() - begun - len(taken) * period_seconds
        taken.extend((late - place * period_seconds) * 1_000 for place in range(gathered))
    return taken


def _gathered(series: tuple[str, ...], points: int, sequence: int) -> bytes:
    """A serialized batch as the uplink sends it, with a digest: a number, the series, and what they were made of."""
    head = messages.MetricBatch(sequence=sequence).SerializeToString()
    tail = messages.MetricBatch(digest=hashlib.sha256(head).digest()).SerializeToString()
    body = b"".join((head, _series(series, points), tail))
    return BATCH_TAG + varint(len(body)) + body


@cache
def _series(series: tuple[str, ...], points: int) -> bytes:
    curves = Curves()
    return series_bytes([(name, curves.points(points)) for name in series])


def series_bytes(columns: Sequence[tuple[str, Points]]) -> bytes:
    """The series of a batch as they stand on the wire."""
    batch = messages.MetricBatch()
    for name, points in columns:
        encode_points(batch.series.add(metric=name), points, 0)
    return batch.SerializeToString()


def own_connection(address: str) -> grpc.aio.Channel:
    """A channel that shares its connection with no other."""
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


async def make_runs(runs: "RunHistoryServiceAsyncStub", count: int) -> list[str]:
    """Makes running runs; returns their names."""
    experiment = await runs.CreateExperiment(
        api.CreateExperimentRequest(
            parent=WORKSPACE, experiment=Experiment(display_name="ingest"), return_existing=True
        )
    )
    run = Run(experiment=experiment.experiment.name)
    request = api.BatchCreateRunsRequest(parent=WORKSPACE, requests=[api.CreateRunRequest(run=run, start=True)] * count)
    return [run.name for run in (await runs.BatchCreateRuns(request)).runs]


async def fill(connection: "asyncpg.Connection[asyncpg.Record]", curves: Curves, point_count: int) -> None:
    """Stores points in the tables of the service: series of a million, whose encoded chunks all series repeat."""
    chunks = [encode_chunk(curves.points(FILL_CHUNK, step)) for step in range(0, FILL_SERIES, FILL_CHUNK)]
    await _store(connection, ["filled"], [f"loss/{n}" for n in range(point_count // FILL_SERIES)], chunks)


async def fill_runs(
    connection: "asyncpg.Connection[asyncpg.Record]", curves: Curves, runs: Sequence[str], metrics: Sequence[str]
) -> None:
    """Stores in the same way a series of a thousand points for each metric of runs, by their ids."""
    await _store(connection, runs, metrics, [encode_chunk(curves.points(1_000))])


async def _store(
    connection: "asyncpg.Connection[asyncpg.Record]",
    runs: Sequence[str],
    metrics: Sequence[str],
    chunks: Sequence[Chunk],
) -> None:
    counts = [chunk.summary.count for chunk in chunks]
    starts = [sum(counts[:place]) for place in range(len(counts))]
    series = await connection.fetch(
        """
        INSERT INTO metrics.series (workspace, run, metric, point_count, kinds, kind, description, revision)
        SELECT 'default', run, metric, $1, 2, 1, '', 1 FROM unnest($2::text[]) run, unnest($3::text[]) metric
        RETURNING run, series
        """,
        sum(counts),
        runs,
        metrics,
    )
    for run, number in series:
        await connection.copy_records_to_table(
            "chunk",
            schema_name="metrics",
            columns=("workspace", "run", "series", "start_index", "point_count", "size_bytes", "columns"),
            records=[
                ("default", run, number, start, chunk.summary.count, chunk.size_bytes, chunk.data)
                for start, chunk in zip(starts, chunks, strict=True)
            ],
        )
