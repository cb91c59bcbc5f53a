"""Writes metrics of requests, which may come twice, once."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.gateway.mlflow.errors import wrong
from runstream_server.gateway.mlflow.metrics.ends import RunEnds, identities
from runstream_server.gateway.mlflow.runs.labels import MAX_TIME, MILLISECOND, Identity, LoggedMetric
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName

_MOST_RUNS = 10_000
_MOST_KEYS = 10_000
_MOST_VALUES = 200_000
_NO_NUMBERS = ("table", "artifacts")

_OF_CALLER = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
"""Says nothing of a batch that somebody else sent before."""

_DEFECTS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)

_Wanted: TypeAlias = dict[tuple[str, Identity], LoggedMetric]


@dataclass
class _Writer:
    """What this process writes to one run with."""

    name: str = ""
    sequence: int = 0

    unknown: messages.MetricBatch | None = None
    """A batch that was sent, and perhaps not stored."""

    keys: set[str] = field(default_factory=set)
    """Metrics that are known to take numbers, which never changes."""

    ends: RunEnds = field(default_factory=RunEnds)
    value_count: int = 0
    """How many values of the ends are counted."""

    users: int = 0
    """Requests that write with it, or wait for that."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def renew(self) -> None:
        """Goes on as another writer."""
        self.name, self.sequence, self.unknown = f"mlflow-{uuid.uuid4().hex}", 0, None


class MetricWriters:
    """Appends values to runs, each of them once.

    A value that the run has already, of the same metric, step, time and number, is dropped. That is looked up in what
    is stored, whoever stored it: a client that repeats a request may reach another process. What came since the last
    look is read each time, and what is further back where a value is older than that: as long as a series is stored in
    order of time, all of it counts. Requests about one run take turns within a process, and a batch whose fate is
    unknown is sent again, under its number, before the next look.
    """

    def __init__(self) -> None:
        self._writers: OrderedDict[RunName, _Writer] = OrderedDict()
        self._values = 0

    async def check(self, visitor: Visitor, run: RunName, metrics: Iterable[LoggedMetric]) -> None:
        """Raises MlflowError if one of the metrics cannot take numbers: it is a table, for example."""
        writer = self._writer(run)
        new = sorted({each.key for each in metrics} - writer.keys)
        if not new:
            return
        request = messages.ReadSeriesRequest(runs=[str(run)], metrics=new, end_index=1)
        read = visitor.services.metrics.ReadSeries
        async with aclosing(visitor.stream(read, request, messages.ReadSeriesResponse)) as responses:
            async for response in responses:
                metric = response.columns.metric
                if response.columns.WhichOneof("values") in _NO_NUMBERS:
                    raise wrong(f"Metric '{metric}' of the run is no series of numbers; log another one.")

    async def write(self, visitor: Visitor, run: RunName, metrics: Sequence[LoggedMetric]) -> bool:
        """Stores values that the run does not have yet; returns whether there were any.

        Raises:
            Refusal: There is no such run, or it is deleted.
            MlflowError: A metric cannot take numbers, or the run has too many.
        """
        writer = self._writer(run)
        writer.users += 1
        try:
            async with writer.lock:
                return await self._write(visitor, run, writer, metrics)
        finally:
            writer.users -= 1

    async def _write(self, visitor: Visitor, run: RunName, writer: _Writer, metrics: Sequence[LoggedMetric]) -> bool:
        if writer.unknown is not None:
            await self._send(visitor, run, writer, writer.unknown)
        new = await _not_known(visitor, run, writer.ends, metrics)
        await _drop_old(visitor, run, writer.ends, new)
        writer.ends.shrink()
        self._count(writer)
        if new:
            batch = messages.MetricBatch(sequence=writer.sequence + 1, series=_columns(new.values()))
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
            if not writer.users and writer.unknown is None:
                self._values -= writer.value_count
                del self._writers[run]
                return

    def _count(self, writer: _Writer) -> None:
        """Keeps what is remembered of all runs together within bounds."""
        self._values += len(writer.ends) - writer.value_count
        writer.value_count = len(writer.ends)
        while self._values > _MOST_VALUES and len(self._writers) > 1:
            before = len(self._writers)
            self._forget_one()
            if len(self._writers) == before:
                return

    async def _send(
        self, visitor: Visitor, run: RunName, writer: _Writer, batch: messages.MetricBatch
    ) -> Sequence[messages.SeriesRefusal]:
        is_again, writer.unknown = writer.unknown is batch, batch
        request = messages.LogMetricsRequest(run=str(run), writer=writer.name, batch=batch, refuse_deleted=True)
        try:
            response = await visitor.call(visitor.services.metrics.LogMetrics, request, messages.LogMetricsResponse)
        except Refusal as refusal:
            if _is_settled(refusal, is_again=is_again):
                writer.renew()
            raise
        writer.unknown, writer.sequence = None, batch.sequence
        if len(writer.keys) > _MOST_KEYS:
            writer.keys.clear()
        writer.keys.update({series.metric for series in batch.series} - {each.metric for each in response.refusals})
        return response.refusals


def _is_settled(refusal: Refusal, *, is_again: bool) -> bool:
    """Whether it is known now what became of a batch, or never will be by sending it."""
    if is_again and refusal.code in _DEFECTS:
        return True
    return not refusal.is_of_unknown_outcome and not (is_again and refusal.code in _OF_CALLER)


async def _not_known(visitor: Visitor, run: RunName, ends: RunEnds, metrics: Sequence[LoggedMetric]) -> _Wanted:
    """Those of the values that are not known to be stored, each once, in their order."""
    keys = {each.key for each in metrics}
    read = visitor.services.metrics.ReadSeries
    for request in list(ends.requests(str(run), keys)):
        async for response in visitor.stream(read, request, messages.ReadSeriesResponse):
            ends.learn(response)
    ends.complete(keys)
    wanted = {(each.key, each.identity): each for each in reversed(metrics) if not ends[each.key].has(each)}
    return dict(reversed(wanted.items()))


async def _drop_old(visitor: Visitor, run: RunName, ends: RunEnds, wanted: _Wanted) -> None:
    """Leaves out values that are stored further back than is known of their series."""
    old = [each for each in wanted.values() if not ends[each.key].knows_all_about(each)]
    if not old:
        return
    steps, times = [each.step for each in old], [each.time for each in old]
    request = messages.ReadSeriesRequest(
        runs=[str(run)],
        metrics=sorted({each.key for each in old}),
        min_step=min(steps),
        max_step=max(steps),
        min_time=min(times),
        max_time=min(max(times) + MILLISECOND - 1, MAX_TIME),
    )
    async for response in visitor.stream(visitor.services.metrics.ReadSeries, request, messages.ReadSeriesResponse):
        for known in identities(response.columns):
            wanted.pop((response.columns.metric, known), None)


def _columns(metrics: Iterable[LoggedMetric]) -> Sequence[messages.SeriesColumns]:
    by_key: dict[str, messages.SeriesColumns] = {}
    for each in metrics:
        columns = by_key.setdefault(each.key, messages.SeriesColumns(metric=each.key))
        columns.steps.append(each.step)
        columns.times.append(each.time)
        columns.doubles.values.append(each.value)
    return list(by_key.values())
