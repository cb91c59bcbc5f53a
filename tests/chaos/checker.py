"""Compares what is stored with the histories of the writers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import grpc
import numpy as np

from runstream._channel.connection import Connection
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from tests import stubs
from tests.chaos.history import Past
from tests.chaos.payloads import SHARED, Payload, own_metric, read_mark
from tests.chaos.writers import history_of

PATIENCE_SECONDS = 30.0


@dataclass
class Stored:
    """The columns of one series, put together."""

    steps: list[int] = field(default_factory=list)
    doubles: list[float] = field(default_factory=list)
    int64s: list[int] = field(default_factory=list)


async def read_run(channel: grpc.aio.Channel, run: str) -> dict[str, Stored]:
    """Everything a run has, by metric; each series must come without a gap."""
    found: dict[str, Stored] = {}
    async for response in stubs.metrics(channel).ReadSeries(metrics.ReadSeriesRequest(runs=[run])):
        stored = found.setdefault(response.columns.metric, Stored())
        assert response.start_index == len(stored.steps)
        stored.steps.extend(response.columns.steps)
        stored.doubles.extend(response.columns.doubles.values)
        stored.int64s.extend(response.columns.int64s.values)
    return found


@dataclass(frozen=True)
class Checker:
    """Knows what the writers of a run sent, by their histories and the seed."""

    run: str
    seed: int
    writers: range
    points: int
    folder: Path

    async def check_kept(self, address: str) -> None:
        """Asserts that of each writer everything acknowledged is stored, in whole batches, and nothing else."""
        pasts = {writer: self._past(writer) for writer in self.writers}
        connection = Connection.to(address)
        response = await connection.call(
            connection.metrics.ListSeries, metrics.ListSeriesRequest(parent=self.run), timeout=PATIENCE_SECONDS
        )
        counts = {each.metric: each.count for each in response.series}
        for writer, before in pasts.items():
            batches, rest = divmod(counts.get(own_metric(writer), 0), self.points)
            assert not rest, f"writer {writer}: a batch is stored in part"
            after = self._past(writer)
            assert before.durable <= batches <= len(after.intents), (
                f"writer {writer}: {batches} batches are stored, of {len(after.intents)} sent,"
                f" of which {before.durable} are acknowledged"
            )

    async def check_all(self, channel: grpc.aio.Channel) -> None:
        """Asserts that each batch sent is stored once, point for point, and in order; all were acknowledged."""
        found = await read_run(channel, self.run)
        for writer in self.writers:
            self._check_writer(writer, found[own_metric(writer)])
        self._check_shared(found[SHARED].int64s)

    def _check_writer(self, writer: int, stored: Stored) -> None:
        past = self._past(writer)
        assert past.durable == len(past.intents) == max(past.intents)
        sent = [Payload(self.seed, writer, sequence, self.points) for sequence in sorted(past.intents)]
        assert [each.digest.hex() for each in sent] == [past.intents[each.sequence] for each in sent]
        values = np.array(stored.doubles).view(np.int64)
        assert stored.steps == np.concatenate([each.steps for each in sent]).tolist(), f"steps of writer {writer}"
        assert np.array_equal(values, np.concatenate([each.values for each in sent]).view(np.int64)), (
            f"values of writer {writer}"
        )

    def _check_shared(self, marks: Iterable[int]) -> None:
        sequences: dict[int, list[int]] = {}
        for writer, sequence in map(read_mark, marks):
            sequences.setdefault(writer, []).append(sequence)
        assert sequences == {writer: sorted(self._past(writer).intents) for writer in self.writers}

    async def check_tables(self, dsn: str) -> None:
        """Asserts the same about the tables: positions, counts, and chunks that join on without gap or overlap."""
        workspace, run = self.run.split("/")[1::2]
        connection = await asyncpg.connect(dsn)
        try:
            writers = await connection.fetch(_WRITERS, workspace, run)
            series = await connection.fetch(_SERIES, workspace, run)
        finally:
            await connection.close()
        batches = {f"writer-{writer}": len(self._past(writer).intents) for writer in self.writers}
        assert {row["writer"]: row["position"] for row in writers if row["finished"]} == batches
        assert {row["metric"]: row["point_count"] for row in series} == {
            **{metric: count * self.points for metric, count in batches.items()},
            SHARED: sum(batches.values()),
        }
        for row in series:
            assert row["starts"] == [0, *np.cumsum(row["counts"])[:-1].tolist()], row["metric"]
            assert sum(row["counts"]) == row["point_count"], row["metric"]

    def _past(self, writer: int) -> Past:
        return Past(history_of(self.folder, writer))


_WRITERS = "SELECT writer, position, finished FROM metrics.writer WHERE workspace = $1 AND run = $2"
_SERIES = """
SELECT metric, series.point_count,
       array_agg(start_index ORDER BY start_index) AS starts,
       array_agg(chunk.point_count ORDER BY start_index) AS counts
  FROM metrics.series
  JOIN metrics.chunk USING (workspace, run, series)
 WHERE workspace = $1 AND run = $2
 GROUP BY metric, series.point_count
"""
