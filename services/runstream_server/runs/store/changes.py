"""Reads which runs changed, in the order of the transactions that changed them, without gaps.

A transaction that began earlier may commit later, so only what lies below every transaction still open is final: a
reader that goes no further never has to come back. A position that was final stays so, whatever a replica knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from runstream_server.postgres import Postgres
from runstream_server.runs.filter import RUN_FIELDS, Node, Parameters, Scope, compile_filter
from runstream_server.runs.limits import PAGE_BYTES
from runstream_server.runs.model import Position, Run
from runstream_server.runs.store.columns import RUN, run_bytes, run_of
from runstream_server.runs.store.horizon import Horizon
from runstream_server.runs.store.walks import summary_column

_AT_ONCE = 100
_FEED_AT_ONCE = 2_000


@dataclass(frozen=True)
class Watched:
    """Which runs a watch is about."""

    workspace: str
    names: Sequence[str]
    """Only these; empty: all of the workspace."""

    node: Node | None
    experiments: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Change:
    """A changed run as it is now."""

    run: Run
    is_admitted: bool
    """Whether the filter admits it."""


@dataclass(frozen=True)
class Changes:
    """What was read."""

    changes: Sequence[Change]
    position: Position
    """Everything up to here was read."""

    has_more: bool
    """Whether there is more that is final already."""


@dataclass(frozen=True)
class Feed:
    """Identifiers of changed runs."""

    runs: Sequence[str]
    position: Position
    has_more: bool
    """Whether there is more that is final already."""

    has_unfinished: bool
    """Whether there are changes that are not final, as an earlier transaction is still open."""


class ChangeStore:
    """Reads changes of runs."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self.known = Horizon(postgres)
        """What is known to be over, although a snapshot alone does not tell."""

    @staticmethod
    def check_filter(workspace: str, node: Node | None, now: datetime) -> None:
        """Raises InvalidFilter if a filter is not of the language."""
        _admitted(Watched(workspace, (), node, {}), Parameters(workspace), now)

    async def horizon(self) -> tuple[Position, int]:
        """Returns where everything final ends now, and the number that the next transaction gets."""
        final = self.known.xid
        row = await self._postgres.fetchrow(
            """
            SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() s
            """
        )
        assert row is not None
        return Position(max(row[0], final), ""), row[1]

    async def feed(self, workspace: str, after: Position) -> Feed:
        """Returns which runs of a workspace changed behind a position."""
        rows = await self._postgres.fetch(
            f"""
            SELECT final::text::bigint AS horizon, c.xid, c.run,
                   EXISTS (SELECT FROM runs.run r WHERE r.workspace = $1 AND r.change_xid >= final
                              AND r.change_xid < pg_snapshot_xmax(s)) AS has_unfinished
              FROM {_final("$4::text")} LEFT JOIN LATERAL (
                   SELECT r.change_xid::text::bigint AS xid, r.run FROM runs.run r
                    WHERE r.workspace = $1 AND (r.change_xid, r.run) > ($2::text::xid8, $3)
                      AND r.change_xid < final
                    ORDER BY r.change_xid, r.run LIMIT {_FEED_AT_ONCE}
                   ) c ON true
            """,
            workspace,
            str(after.xid),
            after.run,
            str(max(self.known.xid, after.xid)),
        )
        runs = [row["run"] for row in rows if row["run"] is not None]
        has_more = len(runs) == _FEED_AT_ONCE
        final = max(after, Position(rows[0]["horizon"], ""))
        position = Position(rows[-1]["xid"], runs[-1]) if has_more else final
        return Feed(runs, position, has_more, rows[0]["has_unfinished"])

    async def changes(self, watched: Watched, after: Position, now: datetime) -> Changes:
        """Returns runs changed behind a position, in order of change; up to 100, fewer once they take too much."""
        parameters = Parameters(watched.workspace)
        admitted = _admitted(watched, parameters, now)
        known = parameters.add(str(max(self.known.xid, after.xid)), "text")
        rows = await self._postgres.fetch(
            f"""
            SELECT c.*, final::text::bigint AS horizon
              FROM {_final(known)} LEFT JOIN LATERAL (
                   SELECT {RUN}, {admitted} AS is_admitted, r.change_xid::text::bigint AS xid FROM runs.run r
                    WHERE r.workspace = $1 AND {_in_scope(watched, parameters)}
                      AND (r.change_xid, r.run) > ({parameters.add(str(after.xid), "text")}::xid8,
                                                   {parameters.add(after.run, "text")})
                      AND r.change_xid < final
                    ORDER BY r.change_xid, r.run LIMIT {_AT_ONCE}
                   ) c ON true
            """,
            *parameters.values,
        )
        found = [(Change(run_of(row), row["is_admitted"]), row["xid"]) for row in rows if row["run"] is not None]
        kept = found[: _within(PAGE_BYTES, [change.run for change, _ in found])]
        if len(kept) < len(found) or len(found) == _AT_ONCE:
            last, xid = kept[-1]
            return Changes([change for change, _ in kept], Position(xid, last.run.run), has_more=True)
        final = max(after, Position(rows[0]["horizon"], ""))
        return Changes([change for change, _ in kept], final, has_more=False)

    async def present(self, watched: Watched, after: str, now: datetime) -> Sequence[Change]:
        """Returns watched runs as they are now, in order of identifier; up to 100, fewer once they take too much.

        Named ones are all there; others only if the filter admits them and they are not deleted.
        """
        parameters = Parameters(watched.workspace)
        admitted = _admitted(watched, parameters, now)
        wanted = "true" if watched.names else f"r.delete_time IS NULL AND {admitted}"
        rows = await self._postgres.fetch(
            f"""
            SELECT {RUN}, {admitted} AS is_admitted FROM runs.run r
             WHERE r.workspace = $1 AND {_in_scope(watched, parameters)} AND r.run > {parameters.add(after, "text")}
               AND {wanted}
             ORDER BY r.run LIMIT {_AT_ONCE}
            """,
            *parameters.values,
        )
        found = [Change(run_of(row), row["is_admitted"]) for row in rows]
        return found[: _within(PAGE_BYTES, [change.run for change in found])]


def _final(known: str) -> str:
    """Below what all changes are final: below every open transaction, or what is known to be."""
    return (
        "pg_current_snapshot() s"
        f" CROSS JOIN LATERAL (SELECT greatest(pg_snapshot_xmin(s), {known}::xid8) AS final) horizon"
    )


def _admitted(watched: Watched, parameters: Parameters, now: datetime) -> str:
    scope = Scope(watched.workspace, now, parameters, summary_column, watched.experiments)
    return f"({compile_filter(watched.node, RUN_FIELDS, scope)}) IS TRUE"


def _in_scope(watched: Watched, parameters: Parameters) -> str:
    return f"r.run = ANY({parameters.add(list(watched.names), 'text[]')})" if watched.names else "true"


def _within(room: int, runs: Sequence[Run]) -> int:
    """How many of the runs fit; at least one."""
    for index, run in enumerate(runs):
        room -= run_bytes(run)
        if room <= 0:
            return index + 1
    return len(runs)
