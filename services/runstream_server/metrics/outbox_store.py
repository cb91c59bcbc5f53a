"""Reads and clears `metrics.summary_outbox`, which the transactions of `store` fill."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from runstream_server.metrics.model import Series
from runstream_server.metrics.store import series_of
from runstream_server.names import RunName
from runstream_server.postgres import Postgres

_CLAIM_TIME = timedelta(seconds=30)
_CLAIM_MARKS = 1_000
_CLAIM_SERIES = 250_000
"""Each as often as it is marked; what a process has in memory of them at most is some 20 MB of names."""


class OutboxStore:
    """Marks of series whose summaries changed."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def claim(self) -> Sequence[int]:
        """Takes the oldest marks that nobody else has; who does not delete them in time loses the claim."""
        rows = await self._postgres.fetch(
            """
            WITH free AS (
                SELECT mark, series_count
                  FROM metrics.summary_outbox
                 WHERE claimed_until < now()
                 ORDER BY mark
                 LIMIT $1
                   FOR UPDATE SKIP LOCKED
            ), sized AS (
                SELECT mark, sum(series_count) OVER (ORDER BY mark) - series_count AS before FROM free
            )
            UPDATE metrics.summary_outbox AS known
               SET claimed_until = now() + $3::interval
              FROM sized
             WHERE known.mark = sized.mark AND before < $2
            RETURNING known.mark
            """,
            _CLAIM_MARKS,
            _CLAIM_SERIES,
            _CLAIM_TIME,
        )
        return [row["mark"] for row in rows]

    async def marked_metrics(self, marks: Sequence[int]) -> Mapping[RunName, Sequence[str]]:
        """The metrics of which marks say that they changed, by run; sorted."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run, array_agg(metric ORDER BY metric) AS metrics
              FROM (SELECT DISTINCT changed.*
                      FROM metrics.summary_outbox,
                           unnest(workspaces, runs, metrics) AS changed (workspace, run, metric)
                     WHERE mark = ANY($1::bigint[])) marked
             GROUP BY workspace, run
             ORDER BY workspace, run
            """,
            marks,
        )
        return {RunName(row["workspace"], row["run"]): row["metrics"] for row in rows}

    async def series(self, metrics: Mapping[RunName, Sequence[str]]) -> Sequence[Series]:
        """These series of runs as they are now, sorted by run and metric; without descriptions and columns."""
        places = [(run.workspace, run.run, metric) for run, of_run in metrics.items() for metric in of_run]
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run, metric, series, point_count, last, min, max, '' AS description, revision, kind,
                   '{}'::text[] AS columns
              FROM unnest($1::text[], $2::text[], $3::text[]) AS marked (workspace, run, metric)
              JOIN metrics.series USING (workspace, run, metric)
             ORDER BY workspace, run, metric
            """,
            *(list(column) for column in zip(*places, strict=True)),
        )
        return [series_of(row) for row in rows]

    async def release(self, marks: Sequence[int]) -> None:
        """Gives up a claim."""
        await self._postgres.execute(
            "UPDATE metrics.summary_outbox SET claimed_until = '-infinity' WHERE mark = ANY($1::bigint[])", marks
        )

    async def delete(self, marks: Sequence[int]) -> None:
        """Removes delivered marks."""
        await self._postgres.execute("DELETE FROM metrics.summary_outbox WHERE mark = ANY($1::bigint[])", marks)
