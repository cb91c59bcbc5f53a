"""Lets time pass for jobs: what is due is judged by the clock of the database, so what is in it gets older instead."""

from datetime import timedelta

from runstream_server.postgres import Postgres

_COLUMNS = """
SELECT table_name, string_agg(format('%1$I = %1$I - $1::interval', column_name), ', ') AS older
  FROM information_schema.columns
 WHERE table_schema = 'jobs' AND data_type = 'timestamp with time zone'
 GROUP BY table_name
"""


async def pass_time(postgres: Postgres, time: timedelta) -> None:
    """Makes all jobs, and what belongs to them, as much older."""
    async with postgres.transaction() as connection:
        for row in await connection.fetch(_COLUMNS):
            await connection.execute(f"UPDATE jobs.{row['table_name']} SET {row['older']}", time)
