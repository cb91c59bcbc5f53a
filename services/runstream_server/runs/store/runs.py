"""Reads and changes `runs.run`, one run or a few named ones at a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from runstream_server.postgres import Connection, Postgres
from runstream_server.runs.limits import WARNINGS
from runstream_server.runs.model import Properties, Run, RunWarning, StatusChange, Tags
from runstream_server.runs.store.columns import RUN, history_of, run_of, warning_json, warning_of
from runstream_server.runs.store.labels import Labelled, add_properties, modify_run_tags
from runstream_server.runs.store.statuses import Move, Moved, move

_CHUNK = 50


class RunStore:
    """Keeps runs."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def get(self, workspace: str, run: str) -> tuple[Run, Sequence[StatusChange]] | None:
        """Returns a run, deleted or not, and its status history; None if there is none."""
        row = await self._postgres.fetchrow(
            f"SELECT {RUN}, r.status_history FROM runs.run r WHERE r.workspace = $1 AND r.run = $2", workspace, run
        )
        return (run_of(row), history_of(row["status_history"])) if row else None

    async def get_many(self, workspace: str, runs: Sequence[str]) -> Mapping[str, Run]:
        """Returns those of the runs that exist, by identifier."""
        rows = await self._postgres.fetch(
            f"""
            SELECT r.* FROM unnest($2::text[]) AS named (run) CROSS JOIN LATERAL (
                   SELECT {RUN} FROM runs.run r WHERE r.workspace = $1 AND r.run = named.run LIMIT 1) AS r
            """,
            workspace,
            runs,
        )
        return {run.run: run for run in map(run_of, rows)}

    async def sizes(self, workspace: str, runs: Sequence[str]) -> Mapping[str, int]:
        """Returns about how many bytes those of the runs that exist take in Postgres, by identifier."""
        rows = await self._postgres.fetch(
            """
            SELECT r.* FROM unnest($2::text[]) AS named (run) CROSS JOIN LATERAL (
                   SELECT run, pg_column_size(tags) + pg_column_size(properties) + pg_column_size(warnings)
                               + coalesce(pg_column_size(error), 0) AS size
                     FROM runs.run r WHERE r.workspace = $1 AND r.run = named.run LIMIT 1) AS r
            """,
            workspace,
            runs,
        )
        return {row["run"]: row["size"] for row in rows}

    async def move(self, workspace: str, run: str, wanted: Move, at: datetime) -> Moved | None:
        """Moves a run from status to status, or edits it; None if there is none."""
        async with self._postgres.connection() as connection:
            return next(iter(await move(connection, [(workspace, run)], wanted, at)), None)

    async def modify_tags(
        self, workspace: str, run: str, tags: Tags, removed: Sequence[str], at: datetime, refuse_deleted: bool
    ) -> Labelled[Tags] | None:
        """Sets and removes tags, on request only of a run that is not deleted; None if there is no such run."""
        return await modify_run_tags(self._postgres, workspace, run, tags, removed, at, refuse_deleted)

    async def add_properties(
        self, workspace: str, run: str, properties: Properties, at: datetime, refuse_deleted: bool
    ) -> Labelled[Properties] | None:
        """Adds properties unless one is there with another value; None if there is no such run."""
        return await add_properties(self._postgres, workspace, run, properties, at, refuse_deleted)

    async def add_warnings(self, workspace: str, run: str, warnings: Sequence[RunWarning], at: datetime) -> bool | None:
        """Appends warnings that the run does not have yet; returns whether there were any, None if there is no run."""
        async with self._postgres.transaction() as connection:
            return await append_warnings(connection, workspace, run, warnings, at)

    async def set_deleted(self, workspace: str, runs: Sequence[str], deleted: bool, at: datetime) -> int | str:
        """Marks runs as deleted or not, all or none; returns how many changed, or the first one that does not exist."""
        async with self._postgres.transaction() as connection:
            rows = await connection.fetch(
                "SELECT run FROM runs.run WHERE workspace = $1 AND run = ANY($2) ORDER BY run FOR UPDATE",
                workspace,
                runs,
            )
            known = {row["run"] for row in rows}
            missing = next((run for run in runs if run not in known), None)
            if missing is not None:
                return missing
            tag = await connection.execute(
                """
                UPDATE runs.run
                   SET delete_time = CASE WHEN $3 THEN $4::timestamptz END, update_time = $4,
                       change_xid = pg_current_xact_id()
                 WHERE workspace = $1 AND run = ANY($2) AND (delete_time IS NULL) = $3
                """,
                workspace,
                runs,
                deleted,
                at,
            )
            return int(tag.removeprefix("UPDATE "))


async def append_warnings(
    connection: Connection, workspace: str, run: str, warnings: Sequence[RunWarning], at: datetime
) -> bool | None:
    """Appends warnings that a run does not have yet; returns whether there were any, None if there is no run."""
    present = await connection.fetchval(
        "SELECT warnings FROM runs.run WHERE workspace = $1 AND run = $2 FOR UPDATE", workspace, run
    )
    if present is None:
        return None
    appended = with_warnings([warning_of(each) for each in present], warnings)
    if len(appended) == len(present):
        return False
    await connection.execute(
        """
        UPDATE runs.run SET warnings = $3, update_time = $4, change_xid = pg_current_xact_id()
         WHERE workspace = $1 AND run = $2
        """,
        workspace,
        run,
        [warning_json(each) for each in appended],
        at,
    )
    return True


def with_warnings(present: Sequence[RunWarning], more: Sequence[RunWarning]) -> Sequence[RunWarning]:
    """The warnings with more of them at the end, none twice; a last one says so where the newest had to go."""
    result = list(present)
    known = {(warning.source, warning.message) for warning in present}
    for warning in more:
        if (warning.source, warning.message) in known or len(result) >= WARNINGS:
            continue
        known.add((warning.source, warning.message))
        is_last = len(result) == WARNINGS - 1
        result.append(RunWarning("runs", DROPPED_WARNINGS, warning.time) if is_last else warning)
    return result


DROPPED_WARNINGS = f"more warnings than the {WARNINGS} that a run may have were dropped"
