"""What Postgres reads to tell which latest values are remembered, whatever it believes of the tables."""

import pytest

from runstream_server.metrics.latest_store import PAGE
from runstream_server.postgres import Connection, Postgres
from tests.query_plans import looked_at

RUNS = 2_000
SERIES = 20
MOST = 1_000

FILL = f"""
INSERT INTO metrics.series (workspace, run, metric, point_count, kinds, description, revision)
SELECT 'team', 'run-' || run, 'metric-' || metric, 5, 255, '', 1
  FROM generate_series($1::integer, $2::integer) run, generate_series(1, {SERIES}) metric
"""
REMEMBER = """
INSERT INTO metrics.latest_value SELECT workspace, run, series, 5, 1, 1, 1 FROM metrics.series ON CONFLICT DO NOTHING
"""


@pytest.mark.parametrize("analyzed_runs", [0, 1, RUNS])
async def test_what_is_remembered_of_other_runs_is_not_read(postgres: Postgres, analyzed_runs: int) -> None:
    async with postgres.connection() as connection:
        await _fill(connection, analyzed_runs)
        for count, metrics in ((1, list[str]()), (99, ["metric-1", "metric-2"]), (RUNS // 2, [])):
            runs = sorted(f"run-{number}" for number in range(1, count + 1))
            rows = await looked_at(connection, "latest_value", PAGE, "team", runs, metrics, "", "", 255, MOST)
            assert rows == min(MOST, count * (len(metrics) or SERIES))


async def _fill(connection: Connection, analyzed_runs: int) -> None:
    for table in ("series", "latest_value"):
        await connection.execute(f"ALTER TABLE metrics.{table} SET (autovacuum_enabled = off)")
    await connection.execute(FILL, 1, analyzed_runs)
    await connection.execute(REMEMBER)
    if analyzed_runs:
        await connection.execute("ANALYZE metrics.series, metrics.latest_value")
    await connection.execute(FILL, analyzed_runs + 1, RUNS)
    await connection.execute(REMEMBER)
