"""Finds log files that may be old, and removes their text. Rows do not leave this module."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runstream_server.appendstreams import AppendKey
from runstream_server.postgres import Postgres

_FILES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file with text."""

    key: AppendKey
    number: int
    update_time: datetime


class RetentionStore:
    """Log files and when their last bytes were stored."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def files(self, after: AppendKey) -> tuple[datetime, Sequence[KeptFile]]:
        """The time, and the next files with text, in order."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run, path, file, update_time
              FROM logs.file
             WHERE (workspace, run, path) > ($1, $2, $3) AND size_bytes > 0 AND expire_time IS NULL
             ORDER BY workspace, run, path
             LIMIT $4
            """,
            after.workspace,
            after.run,
            after.name,
            _FILES_AT_ONCE,
        )
        now: datetime = await self._postgres.fetchval("SELECT now()")
        return now, [
            KeptFile(AppendKey(row["workspace"], row["run"], row["path"]), row["file"], row["update_time"])
            for row in rows
        ]

    async def remove(self, file: KeptFile, grace: timedelta) -> bool:
        """Removes the text of a file, unless some came meanwhile; returns whether it did.

        From now on nobody finds it. Its chunks go when the file is sealed next, its objects after `grace`.
        """
        key = (file.key.workspace, file.key.run)
        async with self._postgres.transaction() as connection:
            removed = await connection.fetchval(
                """
                UPDATE logs.file
                   SET expire_time = now(), hot = true
                 WHERE workspace = $1 AND run = $2 AND path = $3 AND update_time = $4 AND expire_time IS NULL
                RETURNING true
                """,
                *key,
                file.key.name,
                file.update_time,
            )
            if not removed:
                return False
            await connection.execute(
                """
                UPDATE logs.segment
                   SET state = 'removed', expire_time = now() + $4
                 WHERE workspace = $1 AND run = $2 AND file = $3 AND state = 'current'
                """,
                *key,
                file.number,
                grace,
            )
            await connection.execute(
                """
                INSERT INTO logs.seal_task (workspace, run, path, whole) VALUES ($1, $2, $3, true)
                ON CONFLICT (workspace, run, path) DO UPDATE SET whole = true
                """,
                *key,
                file.key.name,
            )
        return True
