"""Changes tags and properties, of the tables that have them. The row is locked: the verdict is on its newest state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from runstream_server.postgres import Postgres
from runstream_server.runs.limits import LABELS_BYTES, PROPERTIES, TAGS
from runstream_server.runs.model import Properties, Tags

L = TypeVar("L", Tags, Properties)


@dataclass(frozen=True, slots=True)
class Labelled(Generic[L]):
    """What became of tags or properties."""

    old: L
    new: L
    """As they are now, or would be if they fitted."""

    fits: bool
    """False: too many, or too much text; nothing was changed."""

    refused: bool
    """Whether the run is deleted, and nothing was changed for that."""

    @property
    def is_changed(self) -> bool:
        """Whether anything was changed."""
        return self.fits and not self.refused and self.old != self.new


def _fits(labels: str, limit: int) -> str:
    return (
        f"((SELECT count(*) <= {limit} FROM jsonb_object_keys({labels}))"
        f" AND octet_length({labels}::text) <= {LABELS_BYTES})"
    )


def _refused(asked: str) -> str:
    return (
        f"({asked}::boolean AND (r.delete_time IS NOT NULL OR EXISTS (SELECT FROM runs.experiment e"
        " WHERE e.workspace = r.workspace AND e.experiment = r.experiment AND e.archive_time IS NOT NULL)))"
    )


def _modify_tags(table: str, key: str, refused: str, touched: str) -> str:
    return f"""
        WITH before AS (
            SELECT tags AS old, (tags - $4::text[]) || $3::jsonb AS new, {refused} AS refused
              FROM {table} r WHERE workspace = $1 AND {key} = $2 FOR UPDATE
        ), verdict AS (
            SELECT old, new, {_fits("new", TAGS)} AS fits, refused FROM before
        ), changed AS (
            UPDATE {table} SET tags = v.new, update_time = $5{touched} FROM verdict v
             WHERE workspace = $1 AND {key} = $2 AND v.fits AND NOT v.refused AND v.new <> v.old
        )
        SELECT old, new, fits, refused FROM verdict
        """


_MODIFY_RUN_TAGS = _modify_tags("runs.run", "run", _refused("$6"), ", change_xid = pg_current_xact_id()")
_MODIFY_EXPERIMENT_TAGS = _modify_tags("runs.experiment", "experiment", "false", "")

_ADD_PROPERTIES = f"""
    WITH before AS (
        SELECT properties AS old, properties || $3::jsonb AS new,
               properties || $3::jsonb = $3::jsonb || properties AS agrees, {_refused("$5")} AS refused
          FROM runs.run r WHERE workspace = $1 AND run = $2 FOR UPDATE
    ), verdict AS (
        SELECT old, new, agrees, {_fits("new", PROPERTIES)} AS fits, refused FROM before
    ), changed AS (
        UPDATE runs.run SET properties = v.new, update_time = $4, change_xid = pg_current_xact_id() FROM verdict v
         WHERE workspace = $1 AND run = $2 AND v.agrees AND v.fits AND NOT v.refused AND v.new <> v.old
    )
    SELECT old, new, fits, refused FROM verdict
    """


async def modify_run_tags(
    postgres: Postgres, workspace: str, run: str, tags: Tags, removed: Sequence[str], at: datetime, refuse_deleted: bool
) -> Labelled[Tags] | None:
    """Sets and removes tags of a run, on request only of one that is not deleted; None if there is none."""
    row = await postgres.fetchrow(_MODIFY_RUN_TAGS, workspace, run, tags, removed, at, refuse_deleted)
    return Labelled(**row) if row else None


async def modify_experiment_tags(
    postgres: Postgres, workspace: str, experiment: str, tags: Tags, removed: Sequence[str], at: datetime
) -> Labelled[Tags] | None:
    """Sets and removes tags of an experiment; None if there is none."""
    row = await postgres.fetchrow(_MODIFY_EXPERIMENT_TAGS, workspace, experiment, tags, removed, at)
    return Labelled(**row) if row else None


async def add_properties(
    postgres: Postgres, workspace: str, run: str, properties: Properties, at: datetime, refuse_deleted: bool
) -> Labelled[Properties] | None:
    """Adds properties to a run unless one is there with another value, on request only to one that is not deleted.

    Returns None if there is no such run.
    """
    row = await postgres.fetchrow(_ADD_PROPERTIES, workspace, run, properties, at, refuse_deleted)
    return Labelled(**row) if row else None
