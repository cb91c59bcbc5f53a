"""Random batches, duplicates, gaps, fences and reconnects of several writers and kinds, against a model."""

from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from tests import stubs
from tests.append_clients import MetricsClient, doubles, metrics_stream
from tests.conftest import Backend

METRICS = ["a", "b", "c"]
STEPS = 60


@dataclass
class Model:
    """What is stored, if the service is right."""

    kinds: dict[str, str] = field(default_factory=dict)
    values: defaultdict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    def store(self, series: list[messages.SeriesColumns]) -> int:
        """Stores a batch; returns how many values it refuses."""
        refused = 0
        for columns in series:
            kind = kind_of(columns)
            if self.kinds.setdefault(columns.metric, kind) == kind:
                self.values[columns.metric].extend(values_of(columns))
            else:
                refused += len(columns.times)
        return refused


def kind_of(columns: messages.SeriesColumns) -> str:
    field = str(columns.WhichOneof("values"))
    return field if field in ("table", "artifacts") else "values"


def values_of(columns: messages.SeriesColumns) -> list[Any]:
    match columns.WhichOneof("values"):
        case "nulls":
            return [None] * columns.nulls.count
        case "artifacts":
            return [(columns.artifacts.kind, path) for path in columns.artifacts.paths]
        case "table":
            cells = [(column.name, column.doubles.values) for column in columns.table.columns]
            return [{name: of[row] for name, of in cells} for row in range(columns.table.row_count)]
        case field:
            return list(getattr(columns, str(field)).values)


def random_columns(random: Random) -> messages.SeriesColumns:
    metric, count = random.choice(METRICS), random.randint(1, 4)
    times = range(count)
    match random.randrange(6):
        case 0:
            kind = random.choice([messages.ARTIFACT_KIND_IMAGE, messages.ARTIFACT_KIND_RESIDUALS])
            paths = [f"{random.random()}" for _ in times]
            artifacts = messages.ArtifactValues(kind=kind, paths=paths)
            return messages.SeriesColumns(metric=metric, times=times, artifacts=artifacts)
        case 1:
            columns = [
                messages.TableColumn(name=name, doubles=messages.DoubleValues(values=[random.random() for _ in times]))
                for name in random.sample("xyz", random.randint(0, 3))
            ]
            table = messages.TableValues(row_count=count, columns=columns)
            return messages.SeriesColumns(metric=metric, times=times, table=table)
        case 2:
            return messages.SeriesColumns(metric=metric, times=times, nulls=messages.NullValues(count=count))
        case 3:
            texts = messages.StringValues(values=[f"{random.random()}" for _ in times])
            return messages.SeriesColumns(metric=metric, times=times, strings=texts)
        case _:
            return doubles(metric, [random.random() for _ in times])


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_writers_do_each_batch_is_stored_once_in_order_or_refused(
    backend: Backend, replica: Backend, run: str, seed: int
) -> None:
    random, model = Random(seed), Model()
    durable = {"one": 0, "two": 0}
    sent: dict[str, list[list[messages.SeriesColumns]]] = {"one": [], "two": []}
    streams: dict[str, MetricsClient] = {}
    places: dict[str, Backend] = {}
    async with AsyncExitStack() as stack:

        async def reopen(writer: str) -> MetricsClient:
            served = random.choice([backend, replica])
            older, of_older = streams.get(writer), places.get(writer)
            places[writer] = served
            streams[writer] = await stack.enter_async_context(metrics_stream(served.channel, run, writer))
            assert await streams[writer].opened() == durable[writer]
            if older is not None and not older.ended and served is not of_older:
                await older.send(durable[writer] + 1, doubles("a", [-1.0]))
                assert (await older.end()).reason == "WRITER_FENCED"
            return streams[writer]

        for _ in range(STEPS):
            writer = random.choice(list(durable))
            stream = streams.get(writer) or await reopen(writer)
            match random.randrange(8):
                case 0:
                    await reopen(writer)
                case 1:
                    await stream.send(durable[writer] + random.randint(2, 9), random_columns(random))
                    assert (await stream.end()).reason == "SEQUENCE_GAP"
                    stream.ended = True
                    await reopen(writer)
                case 2 if durable[writer]:
                    sequence = random.randint(1, durable[writer])
                    await stream.send(sequence, *sent[writer][sequence - 1])
                    await stream.acknowledged(durable[writer])
                case _:
                    batch = [random_columns(random) for _ in range(random.randint(1, 4))]
                    refused = sum(each.count for each in stream.refusals)
                    durable[writer] += 1
                    sent[writer].append(batch)
                    await stream.send(durable[writer], *batch)
                    await stream.acknowledged(durable[writer])
                    assert sum(each.count for each in stream.refusals) - refused == model.store(batch)

    stored: defaultdict[str, list[Any]] = defaultdict(list)
    async for response in stubs.metrics(replica.channel).ReadSeries(messages.ReadSeriesRequest(runs=[run])):
        assert response.start_index == len(stored[response.columns.metric])
        stored[response.columns.metric].extend(values_of(response.columns))
    assert stored == model.values
