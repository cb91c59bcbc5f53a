"""Reads and clears `metrics.summary_outbox`, which the transactions of `store` fill."""

from collections.abc import Sequence
from datetime import timedelta

from runstream_server.metrics.model import Series
from runstream_server.metrics.store import series_of
from runstream_server.postgres import Postgres

_CLAIM_TIME = timedelta(seconds=30)
_CLAIM_MARKS = 1_000
_CLAIM_SERIES = 50_000


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

    async def marked_series(self, marks: Sequence[int]) -> Sequence[Series]:
        """The marked series as they are now, sorted by run and metric; without descriptions and columns."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run, metric, series, point_count, last, min, max, '' AS description, revision, kind,
                   '{}'::text[] AS columns
              FROM (SELECT DISTINCT changed.*
                      FROM metrics.summary_outbox,
                           unnest(workspaces, runs, metrics) AS changed (workspace, run, metric)
                     WHERE mark = ANY($1::bigint[])) marked
              JOIN metrics.series USING (workspace, run, metric)
             ORDER BY workspace, run, metric
            """,
            marks,
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
