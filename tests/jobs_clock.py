"""Time for jobs: what is due is judged by the clock of the database, so what is in it gets older to let time pass."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from runstream_server.auth import open_auth
from runstream_server.auth_config import AuthConfig
from runstream_server.jobs.mount import Service
from runstream_server.postgres import Hints, Postgres
from tests.conftest import Backend

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


@asynccontextmanager
async def service_with_clock(
    backend: Backend, postgres: Postgres, wrong_by: timedelta = timedelta(0)
) -> AsyncIterator[Service]:
    """The job service of a process whose clock may be wrong; what others do is not hinted at to it."""

    def now() -> datetime:
        return datetime.now(UTC) + wrong_by

    async with open_auth(AuthConfig(), postgres, now) as auth, asyncio.TaskGroup() as tasks:
        platform: Any = SimpleNamespace(
            config=backend.config,
            postgres=postgres,
            hints=Hints(),
            channel=backend.channel,
            stream_channel=backend.channel,
            auth=auth,
            draining=asyncio.Event(),
            now=now,
        )
        service = Service(platform, tasks)
        yield service
        service.cancellations.stop()
