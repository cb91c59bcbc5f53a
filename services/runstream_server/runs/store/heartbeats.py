"""Keeps heartbeats, finds runs that stopped giving them and runs that take too long."""

from collections.abc import Sequence
from datetime import datetime

from runstream_server.postgres import Connection, Postgres
from runstream_server.runs.model import RunWarning
from runstream_server.runs.status import RunStatus
from runstream_server.runs.store.runs import append_warnings
from runstream_server.runs.store.statuses import Move, move

_AT_ONCE = 200


class HeartbeatStore:
    """Keeps heartbeats."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def beat(self, workspace: str, run: str, at: datetime) -> tuple[RunStatus, bool] | None:
        """Notes a heartbeat if it counts; returns the status and whether the process is asked to stop; None if no run.

        A managed process is asked to stop also when its run has ended without it.
        """
        row = await self._postgres.fetchrow(
            """
            WITH beat AS (
                UPDATE runs.heartbeat SET time = greatest(time, $3) WHERE workspace = $1 AND run = $2
            )
            SELECT status, cancel_request_time IS NOT NULL OR (service_managed AND end_time IS NOT NULL)
              FROM runs.run WHERE workspace = $1 AND run = $2
            """,
            workspace,
            run,
            at,
        )
        return (RunStatus(row[0]), row[1]) if row else None

    async def mark_lapsed(self, before: datetime, at: datetime) -> Sequence[str]:
        """Makes running runs whose last heartbeat is older than `before` NotResponding; returns their workspaces.

        Takes a bounded number at once, and leaves those alone that another process is at.
        """
        async with self._postgres.transaction() as connection:
            rows = await connection.fetch(
                """
                SELECT r.workspace, r.run
                  FROM runs.heartbeat h JOIN runs.run r ON r.workspace = h.workspace AND r.run = h.run
                 WHERE h.time < $1 LIMIT $2 FOR UPDATE OF r SKIP LOCKED
                """,
                before,
                _AT_ONCE,
            )
            lapsed = [(row["workspace"], row["run"]) for row in rows]
            if lapsed:
                wanted = Move(wanted=RunStatus.NOT_RESPONDING, reason="heartbeat lapsed")
                await move(connection, lapsed, wanted, at)
                await _forget(connection, lapsed)
            return [workspace for workspace, _ in lapsed]

    async def cancel_overdue(self, at: datetime) -> Sequence[str]:
        """Cancels runs that run longer than they may, each with a warning that says so; returns their workspaces.

        Takes a bounded number at once, and leaves those alone that another process is at.
        """
        async with self._postgres.transaction() as connection:
            rows = await connection.fetch(
                """
                SELECT workspace, run, max_run_duration FROM runs.run
                 WHERE deadline < $1 ORDER BY deadline LIMIT $2 FOR UPDATE SKIP LOCKED
                """,
                at,
                _AT_ONCE,
            )
            for workspace, run, limit in rows:
                text = f"cancelled after the time limit of {limit.total_seconds():g} s (max_run_duration)"
                await append_warnings(connection, workspace, run, [RunWarning("runs", text, at)], at)
                await move(connection, [(workspace, run)], Move(cancel=True, reason=text), at)
            return [row["workspace"] for row in rows]


async def _forget(connection: Connection, runs: Sequence[tuple[str, str]]) -> None:
    """Forgets the heartbeats of runs, whatever became of them: none of them is looked at twice."""
    await connection.execute(
        """
        DELETE FROM runs.heartbeat h USING unnest($1::text[], $2::text[]) AS named (workspace, run)
         WHERE h.workspace = named.workspace AND h.run = named.run
        """,
        [workspace for workspace, _ in runs],
        [run for _, run in runs],
    )
