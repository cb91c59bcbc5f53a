"""Reads and writes `runs.metric_summary`."""

from collections.abc import Mapping, Sequence

from runstream_server.postgres import Postgres
from runstream_server.runs.limits import SUMMARIES_SHOWN
from runstream_server.runs.model import MetricSummary

_COLUMNS = "metric, last, min, max, count, revision"


class SummaryStore:
    """Keeps metric summaries."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def record(self, workspace: str, summaries: Mapping[str, Sequence[MetricSummary]]) -> None:
        """Records summaries by run. Those of unknown runs, and those not newer than what is stored, change nothing."""
        rows = [(run, summary) for run, of_run in summaries.items() for summary in of_run]
        await self._postgres.execute(
            """
            INSERT INTO runs.metric_summary
                   (workspace, run, metric, experiment, create_time, last, min, max, count, revision)
            SELECT $1, s.run, s.metric, r.experiment, r.create_time, s.last, s.min, s.max, s.count, s.revision
              FROM unnest($2::text[], $3::text[], $4::float8[], $5::float8[], $6::float8[], $7::bigint[], $8::bigint[])
                   AS s (run, metric, last, min, max, count, revision)
             CROSS JOIN LATERAL (
                   SELECT experiment, create_time FROM runs.run WHERE workspace = $1 AND run = s.run LIMIT 1) AS r
             ORDER BY s.run, s.metric
            ON CONFLICT (workspace, run, metric) DO UPDATE
               SET last = excluded.last, min = excluded.min, max = excluded.max, count = excluded.count,
                   revision = excluded.revision
             WHERE metric_summary.revision < excluded.revision
            """,
            workspace,
            [run for run, _ in rows],
            [summary.metric for _, summary in rows],
            [summary.last for _, summary in rows],
            [summary.min for _, summary in rows],
            [summary.max for _, summary in rows],
            [summary.count for _, summary in rows],
            [summary.revision for _, summary in rows],
        )

    async def of_runs(self, workspace: str, runs: Sequence[str]) -> Mapping[str, Sequence[MetricSummary]]:
        """Returns the summaries of runs, in order of metric, up to the first 1,000 of each."""
        rows = await self._postgres.fetch(
            f"""
            SELECT named.run, s.* FROM unnest($2::text[]) AS named (run)
             CROSS JOIN LATERAL (
                   SELECT {_COLUMNS} FROM runs.metric_summary
                    WHERE workspace = $1 AND run = named.run ORDER BY metric LIMIT {SUMMARIES_SHOWN}) AS s
            """,
            workspace,
            runs,
        )
        found: dict[str, list[MetricSummary]] = {run: [] for run in runs}
        for run, *values in rows:
            found[run].append(MetricSummary(*values))
        return found
