"""Counts what was refused of a run, and hands the counts out. Rows do not leave this module."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from asyncpg import Record

from runstream_server.appendstreams import Refusal
from runstream_server.metrics.limits import MAX_REFUSED_METRICS
from runstream_server.metrics.model import MetricAppend
from runstream_server.metrics.queries import RefusalCount
from runstream_server.names import RunName
from runstream_server.postgres import Connection, Postgres

_MESSAGE = 1_000

_Counts: TypeAlias = Mapping[tuple[str, str, str, str], int]
"""Values by workspace, run, reason and metric."""


async def count_refusals(connection: Connection, refused: Iterable[tuple[MetricAppend, Refusal]]) -> None:
    """Adds to the counts of the runs, in the transaction that makes the appends durable.

    Rows are locked in order of run and reason; to be called when those of writers and series are locked.
    """
    counts: dict[tuple[str, str, str, str], int] = {}
    messages: dict[tuple[str, str, str], str] = {}
    for append, refusal in refused:
        place = append.key.workspace, append.key.run, refusal.reason
        messages[place] = refusal.message
        key = (*place, refusal.metric.replace("\0", "\N{REPLACEMENT CHARACTER}"))
        counts[key] = counts.get(key, 0) + refusal.count
    if counts:
        await _count_reasons(connection, counts, messages)
        await _count_metrics(connection, counts)


async def _count_reasons(connection: Connection, counts: _Counts, messages: Mapping[tuple[str, str, str], str]) -> None:
    places = sorted(messages)
    sums = dict.fromkeys(places, 0)
    for (workspace, run, reason, _), count in counts.items():
        sums[workspace, run, reason] += count
    await connection.execute(
        """
        INSERT INTO metrics.refusal AS known (workspace, run, reason, message, value_count)
        SELECT workspace, run, reason, message, value_count
          FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY
               AS added (workspace, run, reason, message, value_count, place)
         ORDER BY place
        ON CONFLICT (workspace, run, reason) DO UPDATE
           SET message = excluded.message, value_count = known.value_count + excluded.value_count
        """,
        *map(list, zip(*places, strict=True)),
        [messages[place].replace("\0", "")[:_MESSAGE] for place in places],
        list(sums.values()),
    )


async def _count_metrics(connection: Connection, counts: _Counts) -> None:
    """Counts by metric, under the locks of the rows of the reasons; leaves out metrics beyond the bound."""
    await connection.execute(
        """
        WITH added AS (
            SELECT added.*, known.metric IS NOT NULL AS is_known,
                   count(*) FILTER (WHERE known.metric IS NULL)
                       OVER (PARTITION BY workspace, run, reason ORDER BY place) AS new_count
              FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY
                   AS added (workspace, run, reason, metric, value_count, place)
              LEFT JOIN metrics.refused_metric known USING (workspace, run, reason, metric)
        )
        INSERT INTO metrics.refused_metric AS known (workspace, run, reason, metric, value_count)
        SELECT workspace, run, reason, metric, added.value_count
          FROM added
         WHERE is_known OR new_count + (SELECT count(*) FROM metrics.refused_metric other
                                         WHERE (other.workspace, other.run, other.reason)
                                               = (added.workspace, added.run, added.reason)) <= $6
        ON CONFLICT (workspace, run, reason, metric) DO UPDATE
           SET value_count = known.value_count + excluded.value_count
        """,
        *map(list, zip(*counts, strict=True)),
        list(counts.values()),
        MAX_REFUSED_METRICS,
    )


class RefusalStore:
    """How many values of a run were refused."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def refusals(self, run: RunName) -> Sequence[RefusalCount]:
        """The counts of a run, in order of reason and metric."""
        rows = await self._postgres.fetch(
            """
            SELECT reason, message, refusal.value_count, metric, refused_metric.value_count AS metric_count
              FROM metrics.refusal
              LEFT JOIN metrics.refused_metric USING (workspace, run, reason)
             WHERE workspace = $1 AND run = $2
             ORDER BY reason, metric
            """,
            run.workspace,
            run.run,
        )
        return list(_counts(rows))


def _counts(rows: Iterable[Record]) -> Iterator[RefusalCount]:
    for reason, group in groupby(rows, key=lambda row: row["reason"]):
        of_reason = list(group)
        metrics = {row["metric"]: row["metric_count"] for row in of_reason if row["metric"] is not None}
        yield RefusalCount(reason, of_reason[0]["message"], of_reason[0]["value_count"], metrics)
