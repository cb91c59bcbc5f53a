"""Moves runs from status to status, in one statement that itself refuses what the status machine does not allow."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from runstream_server.postgres import Connection
from runstream_server.runs.limits import STATUS_HISTORY
from runstream_server.runs.model import Run, RunEdits, RunError
from runstream_server.runs.status import FOLLOWERS, TERMINAL, RunStatus
from runstream_server.runs.store.columns import RUN, error_json, run_of

_ALLOWED = ", ".join(f"('{status}', '{follower}')" for status in FOLLOWERS for follower in sorted(FOLLOWERS[status]))
_TERMINAL = ", ".join(f"'{status}'" for status in sorted(TERMINAL))

_UNCHANGED = ", ".join(f"d.{field}" for field in Run._fields)

_ONE = """
    SELECT $1::text COLLATE "C" AS workspace, $2::text COLLATE "C" AS run"""

_MANY = """
    SELECT named.workspace COLLATE "C" AS workspace, named.run COLLATE "C" AS run
      FROM unnest($1::text[], $2::text[]) AS named (workspace, run)
    UNION
    SELECT child.workspace, child.run
      FROM tree JOIN runs.run child ON child.workspace = tree.workspace AND child.parent = tree.run
     WHERE $15"""


def _move(scope: str, named: str) -> str:
    """The statement that moves the runs of `scope` and answers for those that are `named`.

    The rows are locked in order of name, and decided upon in their newest versions. A run that does not respond is
    cancelled at once, whoever drives it: nobody is there to confirm a request.
    """
    return f"""
WITH RECURSIVE tree AS ({scope}
), before AS (
    SELECT {RUN}, r.status AS was, r.service_managed AND $5 AS refused,
           CASE WHEN NOT $3 THEN $4::text
                WHEN r.service_managed AND r.target <> 'local' AND r.status <> 'NotResponding' THEN 'CancelRequested'
                ELSE 'Canceled' END AS wanted
      FROM tree JOIN runs.run r ON r.workspace = tree.workspace AND r.run = tree.run
     ORDER BY r.workspace, r.run FOR UPDATE OF r
), decided AS (
    SELECT before.*,
           CASE WHEN NOT refused AND (was, wanted) IN ({_ALLOWED}) THEN wanted END AS entered,
           was IN ({_TERMINAL}) OR (NOT refused AND coalesce(was = wanted OR (was, wanted) IN ({_ALLOWED}), true))
               AS accepted
      FROM before
), changed AS (
    UPDATE runs.run r
       SET status              = coalesce(d.entered, r.status),
           status_history      = CASE WHEN d.entered IS NULL THEN r.status_history
               ELSE CASE WHEN jsonb_array_length(r.status_history) < {STATUS_HISTORY} THEN r.status_history
                         ELSE r.status_history - 0 END
                    || jsonb_build_object('status', d.entered, 'time', $6::timestamptz, 'reason', $7::text) END,
           start_time          = CASE WHEN d.entered = 'Running' THEN coalesce(r.start_time, $13::timestamptz)
               ELSE r.start_time END,
           end_time            = CASE WHEN d.entered IN ({_TERMINAL}) THEN greatest(r.start_time, $13::timestamptz)
               ELSE r.end_time END,
           deadline            = CASE WHEN d.entered = 'Running' THEN coalesce(r.deadline, $6 + r.max_run_duration)
               WHEN d.entered IN ('Finalizing', 'CancelRequested', {_TERMINAL}) THEN NULL ELSE r.deadline END,
           cancel_request_time = CASE WHEN d.entered = 'CancelRequested' OR (d.entered IS NOT NULL AND $3)
               THEN coalesce(r.cancel_request_time, $6) ELSE r.cancel_request_time END,
           error               = CASE WHEN d.entered IS NULL AND NOT $9::boolean THEN r.error
               WHEN $14 THEN coalesce(r.error, $8::jsonb) ELSE coalesce($8::jsonb, r.error) END,
           display_name        = coalesce($10::text, r.display_name),
           description         = coalesce($11::text, r.description),
           hidden              = coalesce($12::boolean, r.hidden),
           update_time         = $6,
           change_xid          = pg_current_xact_id()
      FROM decided d
     WHERE r.workspace = d.workspace AND r.run = d.run
       AND (d.entered IS NOT NULL
            OR (d.accepted AND num_nonnulls($10::text, $11::text, $12::boolean, nullif($9::boolean, false)) > 0))
    RETURNING {RUN}
), beating AS (
    INSERT INTO runs.heartbeat (workspace, run, time)
    SELECT c.workspace, c.run, $6 FROM changed c JOIN decided d USING (workspace, run)
     WHERE d.entered = 'Running' AND c.heartbeat_enabled
    ON CONFLICT (workspace, run) DO UPDATE SET time = excluded.time
), silenced AS (
    DELETE FROM runs.heartbeat h USING decided d
     WHERE d.was = 'Running' AND d.entered IS NOT NULL AND h.workspace = d.workspace AND h.run = d.run
)
SELECT c.*, d.was, d.accepted, true AS is_changed, (SELECT count(*) FROM changed) AS changed_count
  FROM changed c JOIN decided d USING (workspace, run) WHERE {named}
UNION ALL
SELECT {_UNCHANGED}, d.was, d.accepted, false, (SELECT count(*) FROM changed)
  FROM decided d WHERE {named} AND NOT EXISTS (
       SELECT FROM changed c WHERE c.workspace = d.workspace AND c.run = d.run)
"""


_MOVE_ONE = _move(_ONE, "true")
"""Apart from the other, since Postgres expects one row of it and therefore never reads a whole table."""

_MOVE_MANY = _move(_MANY, "(d.workspace, d.run) IN (SELECT * FROM unnest($1::text[], $2::text[]))")

_NO_EDITS = RunEdits()


@dataclass(frozen=True, slots=True)
class Move:
    """What to do to the status of a run, and to the rest of it in the same step."""

    wanted: RunStatus | None = None
    """The status to enter; None: stay."""

    cancel: bool = False
    """Enter CancelRequested or Canceled, whatever fits the run, instead of `wanted`."""

    recursive: bool = False
    """Do so to all descendants as well."""

    only_unmanaged: bool = False
    """Refuse runs that a runner drives."""

    reason: str = ""

    time: datetime | None = None
    """When it happened, if the caller says so; not used if that is later than the move."""

    error: RunError | None = None
    """Recorded if the run enters the wanted status."""

    keep_error: bool = False
    """Keep the error that the run has, if it has one."""

    edits: RunEdits = _NO_EDITS
    """Made unless the wanted status is refused."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one run."""

    run: Run
    """The run as it now is."""

    is_changed: bool

    was: RunStatus
    """The status it was in."""

    accepted: bool
    """False: the wanted status is not allowed, and nothing was changed."""

    changed_count: int
    """How many runs the statement changed, descendants included."""


async def move(connection: Connection, runs: Sequence[tuple[str, str]], wanted: Move, at: datetime) -> Sequence[Moved]:
    """Moves runs, given by workspace and identifier; those that do not exist are left out of the answer."""
    edits = wanted.edits
    error = edits.error or wanted.error
    arguments = (
        wanted.cancel,
        wanted.wanted,
        wanted.only_unmanaged,
        at,
        wanted.reason,
        None if error is None else error_json(error),
        edits.error is not None,
        edits.display_name,
        edits.description,
        edits.hidden,
        min(wanted.time or at, at),
        wanted.keep_error,
    )
    if len(runs) == 1 and not wanted.recursive:
        rows = await connection.fetch(_MOVE_ONE, *runs[0], *arguments)
    else:
        workspaces, names = [workspace for workspace, _ in runs], [run for _, run in runs]
        rows = await connection.fetch(_MOVE_MANY, workspaces, names, *arguments, wanted.recursive)
    return [_moved(row) for row in rows]


def _moved(row: asyncpg.Record) -> Moved:
    return Moved(run_of(row), row["is_changed"], RunStatus(row["was"]), row["accepted"], row["changed_count"])
