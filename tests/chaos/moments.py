"""Moments of transactions, at which something is killed."""

from dataclasses import dataclass

import asyncpg

from tests.chaos.conftest import Site
from tests.postgres_proxy import Cut


@dataclass(frozen=True)
class Moment:
    """When to kill: as Postgres is about to hear something, or has heard it and answers."""

    cut: Cut
    after: str
    """What was said on the connection before."""
    while_writing: bool = False


async def hold_at(site: Site, moment: Moment) -> None:
    """Holds the connection that comes to the moment.

    All connections are new then: what one has prepared it does not say again.
    """
    connection = await asyncpg.connect(site.postgres.dsn)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'runstream%'"
        )
    finally:
        await connection.close()
    site.proxy.cut(moment.cut, moment.after, hold=True)
