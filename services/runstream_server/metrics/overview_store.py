"""Reads overviews of chunks. Rows do not leave this module."""

from collections.abc import Sequence
from dataclasses import dataclass

from runstream_server.metrics.model import Span, span_columns
from runstream_server.postgres import Postgres


@dataclass(frozen=True, slots=True)
class StoredOverview:
    """An encoded overview, and which values it is of."""

    start_index: int
    end_index: int
    data: bytes


class OverviewStore:
    """The overviews of chunks."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def overviews(self, spans: Sequence[Span]) -> Sequence[Sequence[StoredOverview]]:
        """The overviews of the chunks of each of some spans of one workspace, in order; short chunks have none.

        Each value is in one of them at most: where a chunk is sealed already and still there, the sealed one counts.
        """
        rows = await self._postgres.fetch(
            """
            WITH wanted AS (
                SELECT place, span.run, span.series, first, beyond, generation, sealed_end
                  FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
                       WITH ORDINALITY AS span (run, series, first, beyond, place)
                  LEFT JOIN metrics.sealed_object AS object
                         ON object.workspace = $1 AND object.run = span.run AND state = 'current'
                 CROSS JOIN LATERAL (
                       SELECT coalesce(max(start_index + point_count), 0) AS sealed_end
                         FROM metrics.sealed_chunk AS sealed
                        WHERE sealed.workspace = $1 AND sealed.run = span.run
                          AND sealed.generation = object.generation AND sealed.series = span.series) sealed
            )
            SELECT place, start_index, point_count, overview
              FROM wanted
              JOIN metrics.chunk USING (run, series)
             WHERE workspace = $1 AND start_index < beyond AND start_index + point_count > first
               AND start_index >= sealed_end AND overview IS NOT NULL
             UNION ALL
            SELECT place, start_index, point_count, overview
              FROM wanted
              JOIN metrics.sealed_chunk USING (run, generation, series)
             WHERE workspace = $1 AND start_index < beyond AND start_index + point_count > first
               AND overview IS NOT NULL
             ORDER BY place, start_index
            """,
            *span_columns(spans),
        )
        found: list[list[StoredOverview]] = [[] for _ in spans]
        for row in rows:
            start = row["start_index"]
            found[row["place"] - 1].append(StoredOverview(start, start + row["point_count"], row["overview"]))
        return found
