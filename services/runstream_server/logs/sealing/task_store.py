"""Which files have text to seal, and who is at it. Rows do not leave this module."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from runstream_server.appendstreams import AppendKey
from runstream_server.logs.sealing.model import SealTask
from runstream_server.names import RunName
from runstream_server.postgres import Postgres
from runstream_server.sealing.backoff import backoff

LEASE = timedelta(minutes=5)
_SCAN_FILES = 500


@dataclass(frozen=True, slots=True)
class HotFile:
    """A file with text that is not sealed."""

    key: AppendKey
    unsealed_bytes: int

    has_task: bool
    """Whether there is a task to seal all of it."""


class SealTaskStore:
    """Hot files, and the tasks to seal them."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def hot_files(self, after: AppendKey) -> Sequence[HotFile]:
        """The next hot files, in order."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run, path, size_bytes - sealed_bytes AS unsealed_bytes, coalesce(whole, false) AS has_task
              FROM (SELECT workspace, run, path, size_bytes, sealed_bytes
                      FROM logs.file
                     WHERE hot AND (workspace, run, path) > ($1, $2, $3)
                     ORDER BY workspace, run, path
                     LIMIT $4) hot
              LEFT JOIN logs.seal_task USING (workspace, run, path)
             ORDER BY workspace, run, path
            """,
            after.workspace,
            after.run,
            after.name,
            _SCAN_FILES,
        )
        return [
            HotFile(AppendKey(row["workspace"], row["run"], row["path"]), row["unsealed_bytes"], row["has_task"])
            for row in rows
        ]

    async def add_tasks(self, keys: Sequence[AppendKey], *, whole: bool) -> None:
        """Makes tasks, or makes those that are there tasks to seal all."""
        await self._postgres.execute(
            """
            INSERT INTO logs.seal_task (workspace, run, path, whole)
            SELECT workspace, run, path, $4
              FROM unnest($1::text[], $2::text[], $3::text[]) AS file (workspace, run, path)
             ORDER BY workspace, run, path
            ON CONFLICT (workspace, run, path) DO UPDATE SET whole = true WHERE excluded.whole
            """,
            [key.workspace for key in keys],
            [key.run for key in keys],
            [key.name for key in keys],
            whole,
        )

    async def claim(self) -> SealTask | None:
        """Takes a task that is due; others leave it alone until the lease ends."""
        row = await self._postgres.fetchrow(
            """
            UPDATE logs.seal_task
               SET due_time = now() + $1, claim = claim + 1
             WHERE (workspace, run, path) = (SELECT workspace, run, path
                                               FROM logs.seal_task
                                              WHERE due_time <= now()
                                              ORDER BY due_time
                                              LIMIT 1
                                                FOR UPDATE SKIP LOCKED)
            RETURNING workspace, run, path, whole, claim, failures
            """,
            LEASE,
        )
        if row is None:
            return None
        return SealTask(RunName(row["workspace"], row["run"]), row["path"], row["whole"], row["claim"], row["failures"])

    async def renew(self, task: SealTask, file: int, segment: int) -> bool:
        """Makes the lease of a task, and of the segment that is being written, last again; False if it was lost."""
        return bool(
            await self._postgres.fetchval(
                """
                WITH task AS (
                    UPDATE logs.seal_task
                       SET due_time = now() + $7
                     WHERE workspace = $1 AND run = $2 AND path = $3 AND claim = $4
                    RETURNING run
                )
                UPDATE logs.segment
                   SET expire_time = now() + $7
                 WHERE workspace = $1 AND run = $2 AND file = $5 AND segment = $6 AND state = 'written'
                   AND EXISTS (SELECT FROM task)
                RETURNING true
                """,
                *_key(task),
                task.claim,
                file,
                segment,
                LEASE,
            )
        )

    async def quiet_seconds(self, task: SealTask) -> float:
        """For how long nothing was stored in the file."""
        return float(
            await self._postgres.fetchval(
                """
                SELECT coalesce(extract(epoch FROM now() - update_time), 1e9)::float8
                  FROM logs.file WHERE workspace = $1 AND run = $2 AND path = $3
                """,
                *_key(task),
            )
            or 0.0
        )

    async def wait(self, task: SealTask, seconds: float) -> None:
        """Puts a task off."""
        await self._put_off(task, timedelta(seconds=seconds), 0)

    async def fail(self, task: SealTask) -> None:
        """Puts a task off, the longer the more often it failed."""
        await self._put_off(task, backoff(task.failures), task.failures + 1)

    async def _put_off(self, task: SealTask, pause: timedelta, failures: int) -> None:
        await self._postgres.execute(
            """
            UPDATE logs.seal_task
               SET due_time = now() + $5, failures = $6
             WHERE workspace = $1 AND run = $2 AND path = $3 AND claim = $4
            """,
            *_key(task),
            task.claim,
            pause,
            failures,
        )

    async def finish(self, task: SealTask) -> None:
        """Removes a task; one that has become a task to seal all meanwhile is due again."""
        status = await self._postgres.execute(
            """
            DELETE FROM logs.seal_task
             WHERE workspace = $1 AND run = $2 AND path = $3 AND claim = $4 AND whole = $5
            """,
            *_key(task),
            task.claim,
            task.whole,
        )
        if status == "DELETE 0":
            await self.wait(task, 0.0)

    async def waiting_count(self) -> int:
        """How many tasks there are."""
        return int(await self._postgres.fetchval("SELECT count(*) FROM logs.seal_task"))

    async def cool(self, task: SealTask) -> None:
        """Says that a file has nothing to seal, if that is so."""
        await self._postgres.execute(
            """
            UPDATE logs.file SET hot = false
             WHERE workspace = $1 AND run = $2 AND path = $3 AND hot
               AND (size_bytes = sealed_bytes OR expire_time IS NOT NULL)
            """,
            *_key(task),
        )


def _key(task: SealTask) -> tuple[str, str, str]:
    return task.run.workspace, task.run.run, task.path
