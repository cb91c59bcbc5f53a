"""Writes metrics of requests, which may come twice, once."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.gateway.mlflow.errors import wrong
from runstream_server.gateway.mlflow.labels import LoggedMetric
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName

_MOST_RUNS = 10_000
_MOST_KEYS = 10_000
_NO_NUMBERS = ("table", "artifacts")


@dataclass
class _Writer:
    """What this process writes to one run with."""

    name: str = ""
    sequence: int = 0

    unknown: messages.MetricBatch | None = None
    """A batch that was sent, and perhaps not stored."""

    keys: set[str] = field(default_factory=set)
    """Metrics that are known to take numbers, which never changes."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def renew(self) -> None:
        """Goes on as another writer."""
        self.name, self.sequence, self.unknown = f"mlflow-{uuid.uuid4().hex}", 0, None


class MetricWriters:
    """Appends values to runs, each of them once.

    A value that the run has already, of the same metric, step, time and number, is dropped. That is looked up in what
    is stored, whoever stored it: a client that repeats a request may reach another process. Requests about one run take
    turns within a process, and a batch whose fate is unknown is sent again, under its number, before the next look.
    """

    def __init__(self) -> None:
        self._writers: OrderedDict[RunName, _Writer] = OrderedDict()

    async def check(self, visitor: Visitor, run: RunName, metrics: Iterable[LoggedMetric]) -> None:
        """Raises MlflowError if one of the metrics cannot take numbers: it is a table, for example."""
        writer = self._writer(run)
        new = sorted({each.key for each in metrics} - writer.keys)
        if not new:
            return
        request = messages.ReadSeriesRequest(runs=[str(run)], metrics=new, end_index=1)
        read = visitor.services.metrics.ReadSeries
        async for response in visitor.stream(read, request, messages.ReadSeriesResponse):
            if response.columns.WhichOneof("values") in _NO_NUMBERS:
                raise wrong(f"Metric '{response.columns.metric}' of the run is no series of numbers; log another one.")

    async def write(self, visitor: Visitor, run: RunName, metrics: Sequence[LoggedMetric]) -> bool:
        """Stores values that the run does not have yet; returns whether there were any.

        Raises:
            Refusal: There is no such run, or it is deleted.
            MlflowError: A metric cannot take numbers, or the run has too many.
        """
        writer = self._writer(run)
        async with writer.lock:
            if writer.unknown is not None:
                await self._send(visitor, run, writer, writer.unknown)
            new = await _not_stored(visitor, run, metrics)
            if new:
                batch = messages.MetricBatch(sequence=writer.sequence + 1, series=_columns(new))
                for refused in await self._send(visitor, run, writer, batch):
                    raise wrong(f"Metric '{refused.metric}' cannot be stored: {refused.message}")
            return bool(new)

    def _writer(self, run: RunName) -> _Writer:
        writer = self._writers.get(run)
        if writer is None:
            writer = self._writers[run] = _Writer()
            writer.renew()
        self._writers.move_to_end(run)
        if len(self._writers) > _MOST_RUNS:
            self._forget_one()
        return writer

    def _forget_one(self) -> None:
        for run, writer in self._writers.items():
            if not writer.lock.locked() and writer.unknown is None:
                del self._writers[run]
                return

    async def _send(
        self, visitor: Visitor, run: RunName, writer: _Writer, batch: messages.MetricBatch
    ) -> Sequence[messages.SeriesRefusal]:
        writer.unknown = batch
        request = messages.LogMetricsRequest(run=str(run), writer=writer.name, batch=batch, refuse_deleted=True)
        try:
            response = await visitor.call(visitor.services.metrics.LogMetrics, request, messages.LogMetricsResponse)
        except Refusal as refusal:
            if not refusal.is_of_unknown_outcome:
                writer.renew()
            raise
        writer.unknown, writer.sequence = None, batch.sequence
        if len(writer.keys) > _MOST_KEYS:
            writer.keys.clear()
        writer.keys.update({series.metric for series in batch.series} - {each.metric for each in response.refusals})
        return response.refusals


async def _not_stored(visitor: Visitor, run: RunName, metrics: Sequence[LoggedMetric]) -> Collection[LoggedMetric]:
    """Those of the values that the run does not have, each once, in their order."""
    wanted = {each.identity: each for each in reversed(metrics)}
    steps, times = [each.step for each in metrics], [each.time for each in metrics]
    request = messages.ReadSeriesRequest(
        runs=[str(run)],
        metrics=sorted({each.key for each in metrics}),
        min_step=min(steps),
        max_step=max(steps),
        min_time=min(times),
        max_time=max(times),
    )
    async for response in visitor.stream(visitor.services.metrics.ReadSeries, request, messages.ReadSeriesResponse):
        for identity in _identities(response.columns, steps):
            wanted.pop(identity, None)
    return list(reversed(wanted.values()))


def _identities(columns: messages.SeriesColumns, steps: Sequence[int]) -> Iterable[tuple[str, int, int, float | None]]:
    """What values at some steps are equal by; values of other kinds than numbers are like none."""
    if columns.WhichOneof("values") != "doubles":
        return
    for place in np.flatnonzero(np.isin(np.asarray(columns.steps), steps)).tolist():
        value = columns.doubles.values[place]
        yield columns.metric, columns.steps[place], columns.times[place], value if value == value else None


def _columns(metrics: Iterable[LoggedMetric]) -> Sequence[messages.SeriesColumns]:
    by_key: dict[str, messages.SeriesColumns] = {}
    for each in metrics:
        columns = by_key.setdefault(each.key, messages.SeriesColumns(metric=each.key))
        columns.steps.append(each.step)
        columns.times.append(each.time)
        columns.doubles.values.append(each.value)
    return list(by_key.values())
