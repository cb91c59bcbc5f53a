"""Tells which transactions are over, and which one all others wait for.

A snapshot knows the oldest transaction that is open anywhere on the server. A transaction of another database cannot
change what is here, so where readers wait for long, the open ones of this database alone are asked for.
"""

from dataclasses import dataclass

from runstream_server.postgres import Postgres

_XIDS = 1 << 32
_OPEN = """
SELECT xid::text::bigint AS xid, pid, database, application,
       extract(epoch FROM clock_timestamp() - begin_time)::float8 AS seconds
  FROM (SELECT backend_xid AS xid, pid, datname AS database, application_name AS application, xact_start AS begin_time
          FROM pg_stat_activity
         WHERE backend_xid IS NOT NULL
        UNION ALL
        SELECT transaction, NULL, database, 'prepared transaction ' || gid, prepared FROM pg_prepared_xacts) open
"""


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction that is open."""

    pid: int | None
    """The process that has it; None: it is prepared, and nobody has it."""

    database: str
    application: str
    seconds: float | None
    """How long it is open; None: it belongs to a role that this one may not look at."""


class Horizon:
    """Below which number all transactions of this database are over: their changes are seen by any later statement."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self.xid = 0
        """Everything below is over. Only grows."""

    async def advance(self) -> None:
        """Finds out anew. The number comes first: what is open afterwards and is not among the open ones is over."""
        following: int = await self._postgres.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        rows = await self._postgres.fetch(f"{_OPEN} WHERE database = current_database()")
        self.xid = max(self.xid, min((_unfolded(row["xid"], following) for row in rows), default=following))

    async def oldest(self) -> OpenTransaction | None:
        """Returns the transaction of this database that is open for longest."""
        row = await self._postgres.fetchrow(
            f"{_OPEN} WHERE database = current_database() AND pid IS DISTINCT FROM pg_backend_pid()"
            " ORDER BY age(xid) DESC LIMIT 1"
        )
        return OpenTransaction(row["pid"], row["database"], row["application"], row["seconds"]) if row else None


def _unfolded(xid: int, following: int) -> int:
    """The number of a transaction, given in its last 32 bits, that is at most 2**31 away; at most `following`."""
    behind = (following - xid) % _XIDS
    return following - behind if behind < _XIDS // 2 else following
