"""Which runs are to be sealed, and who is at it. Rows do not leave this module."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from runstream_server.metrics.sealing.model import SealTask
from runstream_server.names import RunName
from runstream_server.postgres import Postgres
from runstream_server.sealing.backoff import backoff

LEASE = timedelta(minutes=5)
_SCAN_LEASE = timedelta(seconds=30)
_SCAN_RUNS = 500


class SealTaskStore:
    """Runs with hot writers, and the tasks to seal those that have ended."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def claim_scan(self) -> tuple[str, str] | None:
        """The workspace and the run after which to look next; None if it is not time yet, or somebody else looks."""
        row = await self._postgres.fetchrow(
            """
            UPDATE metrics.seal_scan SET due_time = now() + $1
             WHERE due_time <= now()
            RETURNING after_workspace, after_run
            """,
            _SCAN_LEASE,
        )
        return (row["after_workspace"], row["after_run"]) if row else None

    async def hot_runs(self, after: tuple[str, str]) -> Sequence[tuple[RunName, bool]]:
        """The next runs with hot writers, in order, and whether there is a task for each."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run, task.run IS NOT NULL AS known
              FROM (SELECT DISTINCT workspace, run
                      FROM metrics.writer
                     WHERE hot AND (workspace, run) > ($1, $2)
                     ORDER BY workspace, run
                     LIMIT $3) hot
              LEFT JOIN metrics.seal_task AS task USING (workspace, run)
             ORDER BY workspace, run
            """,
            *after,
            _SCAN_RUNS,
        )
        return [(RunName(row["workspace"], row["run"]), row["known"]) for row in rows]

    async def finish_scan(self, after: tuple[str, str], pause_seconds: float) -> None:
        """Says where to go on, and when."""
        await self._postgres.execute(
            "UPDATE metrics.seal_scan SET after_workspace = $1, after_run = $2, due_time = now() + $3",
            *after,
            timedelta(seconds=pause_seconds),
        )

    async def add_tasks(self, runs: Sequence[RunName]) -> None:
        """Makes tasks, those that are there already apart."""
        await self._postgres.execute(
            """
            INSERT INTO metrics.seal_task (workspace, run)
            SELECT workspace, run FROM unnest($1::text[], $2::text[]) AS ended (workspace, run)
            ON CONFLICT DO NOTHING
            """,
            [run.workspace for run in runs],
            [run.run for run in runs],
        )

    async def claim(self) -> SealTask | None:
        """Takes a task that is due; others leave it alone until the lease ends."""
        row = await self._postgres.fetchrow(
            """
            UPDATE metrics.seal_task
               SET due_time = now() + $1, claim = claim + 1
             WHERE (workspace, run) = (SELECT workspace, run
                                         FROM metrics.seal_task
                                        WHERE due_time <= now()
                                        ORDER BY due_time
                                        LIMIT 1
                                          FOR UPDATE SKIP LOCKED)
            RETURNING workspace, run, claim, failures, seen_position,
                      extract(epoch FROM now() - seen_time)::float8 AS quiet_seconds
            """,
            LEASE,
        )
        if row is None:
            return None
        run = RunName(row["workspace"], row["run"])
        return SealTask(run, row["claim"], row["failures"], row["seen_position"], row["quiet_seconds"])

    async def renew(self, task: SealTask, generation: int) -> bool:
        """Makes the lease of a task, and of the object that is being written, last again; False if it was lost."""
        return bool(
            await self._postgres.fetchval(
                """
                WITH task AS (
                    UPDATE metrics.seal_task
                       SET due_time = now() + $5
                     WHERE workspace = $1 AND run = $2 AND claim = $3
                    RETURNING run
                )
                UPDATE metrics.sealed_object
                   SET expire_time = now() + $5
                 WHERE workspace = $1 AND run = $2 AND generation = $4 AND state = 'written'
                   AND EXISTS (SELECT FROM task)
                RETURNING true
                """,
                task.run.workspace,
                task.run.run,
                task.claim,
                generation,
                LEASE,
            )
        )

    async def wait(self, task: SealTask, position: int, seconds: float) -> None:
        """Puts a task off, because its writers were at another position when it was looked at before."""
        await self._postgres.execute(
            """
            UPDATE metrics.seal_task
               SET due_time = now() + $4, failures = 0, seen_position = $5,
                   seen_time = CASE seen_position WHEN $5 THEN seen_time ELSE now() END
             WHERE workspace = $1 AND run = $2 AND claim = $3
            """,
            task.run.workspace,
            task.run.run,
            task.claim,
            timedelta(seconds=seconds),
            position,
        )

    async def fail(self, task: SealTask) -> None:
        """Puts a task off, the longer the more often it failed."""
        await self._postgres.execute(
            """
            UPDATE metrics.seal_task
               SET due_time = now() + $4, failures = failures + 1
             WHERE workspace = $1 AND run = $2 AND claim = $3
            """,
            task.run.workspace,
            task.run.run,
            task.claim,
            backoff(task.failures),
        )

    async def finish(self, task: SealTask) -> None:
        """Removes a task."""
        await self._postgres.execute(
            "DELETE FROM metrics.seal_task WHERE workspace = $1 AND run = $2 AND claim = $3",
            task.run.workspace,
            task.run.run,
            task.claim,
        )

    async def waiting_count(self) -> int:
        """How many tasks there are."""
        return int(await self._postgres.fetchval("SELECT count(*) FROM metrics.seal_task"))

    async def writer_positions(self, run: RunName) -> tuple[Mapping[str, int], bool]:
        """The position of each writer of a run, and whether all of them have said that they are done."""
        rows = await self._postgres.fetch(
            "SELECT writer, position, finished FROM metrics.writer WHERE workspace = $1 AND run = $2",
            run.workspace,
            run.run,
        )
        return {row["writer"]: row["position"] for row in rows}, all(row["finished"] for row in rows)

    async def cool(self, run: RunName, positions: Mapping[str, int]) -> None:
        """Says of writers that everything up to these positions is sealed; those that went on stay hot."""
        await self._postgres.execute(
            """
            WITH cooled AS (
                SELECT writer
                  FROM metrics.writer
                  JOIN unnest($3::text[], $4::bigint[]) AS seen (writer, position) USING (writer, position)
                 WHERE workspace = $1 AND run = $2 AND hot
                 ORDER BY writer
                   FOR UPDATE OF writer
            )
            UPDATE metrics.writer AS known
               SET hot = false
              FROM cooled
             WHERE known.workspace = $1 AND known.run = $2 AND known.writer = cooled.writer
            """,
            run.workspace,
            run.run,
            list(positions),
            list(positions.values()),
        )
