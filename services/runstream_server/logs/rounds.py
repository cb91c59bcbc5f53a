"""Rounds over log files, some at a time. All processes share them: one looks, and where it stopped another goes on."""

from datetime import timedelta

from runstream_server.appendstreams import AppendKey
from runstream_server.postgres import Postgres

FIRST = AppendKey("", "", "")
"""Comes before all files."""

_LEASE = timedelta(seconds=30)


class Round:
    """How far a round is. It leaves this module as the file after which to look next."""

    def __init__(self, postgres: Postgres, name: str) -> None:
        """`name` is `seal` or `retention`."""
        self._postgres = postgres
        self._name = name

    async def claim(self) -> AppendKey | None:
        """The file after which to look next; None if it is not time yet, or somebody else looks."""
        row = await self._postgres.fetchrow(
            """
            UPDATE logs.round SET due_time = now() + $2
             WHERE round = $1 AND due_time <= now()
            RETURNING after_workspace, after_run, after_path
            """,
            self._name,
            _LEASE,
        )
        return AppendKey(row["after_workspace"], row["after_run"], row["after_path"]) if row else None

    async def finish(self, after: AppendKey, pause_seconds: float) -> None:
        """Says where to go on, and when."""
        await self._postgres.execute(
            """
            UPDATE logs.round
               SET after_workspace = $2, after_run = $3, after_path = $4, due_time = now() + $5
             WHERE round = $1
            """,
            self._name,
            after.workspace,
            after.run,
            after.name,
            timedelta(seconds=pause_seconds),
        )
