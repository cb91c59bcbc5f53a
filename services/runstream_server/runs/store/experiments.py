"""Reads and writes `runs.experiment` and, when one comes or goes, its row of `runs.run_counter`."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import asyncpg

from runstream_server.postgres import Postgres
from runstream_server.runs.filter import EXPERIMENT_FIELDS, Node, Parameters, Scope, compile_filter
from runstream_server.runs.model import Edits, Experiment, Tags
from runstream_server.runs.store.labels import Labelled, modify_experiment_tags
from runstream_server.runs.store.requests import remember

_COLUMNS = (
    "e.workspace, e.experiment, e.display_name, e.description, e.tags, e.create_time, e.update_time, e.archive_time"
)
_VIEWS = {True: "e.archive_time IS NOT NULL", False: "e.archive_time IS NULL", None: "true"}


class NameTaken(Exception):
    """Another active experiment has the display name."""


class ExperimentStore:
    """Keeps experiments."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def create(self, experiment: Experiment, request_id: uuid.UUID | None) -> bool:
        """Creates an active experiment and remembers the request.

        Returns False, and does nothing, if an active one has its display name, the request is known or the workspace
        does not exist.
        """
        try:
            return await self._create(experiment, request_id)
        except asyncpg.UniqueViolationError:
            return False

    async def _create(self, experiment: Experiment, request_id: uuid.UUID | None) -> bool:
        async with self._postgres.transaction() as connection:
            created = await connection.fetchval(
                """
                WITH owner AS (SELECT workspace FROM runs.workspace WHERE workspace = $1 FOR KEY SHARE),
                created AS (
                    INSERT INTO runs.experiment
                        (workspace, experiment, display_name, description, tags, create_time, update_time)
                    SELECT workspace, $2, $3, $4, $5, $6, $6 FROM owner
                    ON CONFLICT (workspace, display_name) WHERE archive_time IS NULL DO NOTHING
                    RETURNING workspace, experiment
                )
                INSERT INTO runs.run_counter (workspace, experiment, last)
                SELECT workspace, experiment, 0 FROM created
                RETURNING true
                """,
                experiment.workspace,
                experiment.experiment,
                experiment.display_name,
                experiment.description,
                experiment.tags,
                experiment.create_time,
            )
            if created and request_id:
                made = [experiment.experiment]
                await remember(connection, experiment.workspace, "experiment", request_id, made, experiment.create_time)
            return bool(created)

    async def get(self, workspace: str, experiment: str) -> Experiment | None:
        """Returns an experiment; None if there is none."""
        row = await self._postgres.fetchrow(
            f"SELECT {_COLUMNS} FROM runs.experiment e WHERE e.workspace = $1 AND e.experiment = $2",
            workspace,
            experiment,
        )
        return _experiment(row) if row else None

    async def active(self, workspace: str, display_name: str) -> Experiment | None:
        """Returns the active experiment of a display name; None if there is none."""
        row = await self._postgres.fetchrow(
            f"""
            SELECT {_COLUMNS} FROM runs.experiment e
             WHERE e.workspace = $1 AND e.display_name = $2 AND e.archive_time IS NULL
            """,
            workspace,
            display_name,
        )
        return _experiment(row) if row else None

    async def identifiers(self, workspace: str, display_names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Returns the identifiers of all experiments, archived ones too, by each of these display names."""
        rows = await self._postgres.fetch(
            """
            SELECT display_name, array_agg(experiment) AS experiments FROM runs.experiment
             WHERE workspace = $1 AND display_name = ANY($2) GROUP BY display_name
            """,
            workspace,
            display_names,
        )
        return {row["display_name"]: row["experiments"] for row in rows}

    async def list(
        self,
        workspace: str,
        *,
        archived: bool | None,
        node: Node | None,
        now: datetime,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> Sequence[Experiment]:
        """Returns up to `limit` experiments that a filter admits, newest first, from behind the place `after`.

        `archived` chooses archived ones, active ones, or with None both.
        """
        parameters = Parameters(workspace)
        condition = compile_filter(node, EXPERIMENT_FIELDS, Scope(workspace, now, parameters, _no_metrics))
        place = "true"
        if after is not None:
            time, experiment = parameters.add(after[0], "timestamptz"), parameters.add(after[1], "text")
            place = f"(e.create_time, e.experiment) < ({time}, {experiment})"
        rows = await self._postgres.fetch(
            f"""
            SELECT {_COLUMNS} FROM runs.experiment e
             WHERE e.workspace = $1 AND {_VIEWS[archived]} AND {place} AND {condition}
             ORDER BY e.create_time DESC, e.experiment DESC LIMIT {parameters.add(limit, "int8")}
            """,
            *parameters.values,
        )
        return [_experiment(row) for row in rows]

    async def update(self, workspace: str, experiment: str, edits: Edits, at: datetime) -> Experiment | None:
        """Changes what `edits` names; returns the experiment as it now is, None if there is none.

        Raises:
            NameTaken: Another active experiment has the new display name.
        """
        with _unique_names():
            row = await self._postgres.fetchrow(
                f"""
                UPDATE runs.experiment e
                   SET display_name = coalesce($3, display_name),
                       description  = coalesce($4, description),
                       tags         = coalesce($5, tags),
                       update_time  = $6
                 WHERE e.workspace = $1 AND e.experiment = $2
                RETURNING {_COLUMNS}
                """,
                workspace,
                experiment,
                edits.display_name,
                edits.description,
                edits.tags,
                at,
            )
        return _experiment(row) if row else None

    async def set_archived(self, workspace: str, experiment: str, at: datetime | None, now: datetime) -> bool:
        """Archives an experiment at a time, or with None makes it active; returns whether that changed it.

        Raises:
            NameTaken: It would become active, and another active one has its display name.
        """
        with _unique_names():
            changed = await self._postgres.execute(
                """
                UPDATE runs.experiment SET archive_time = $3, update_time = $4
                 WHERE workspace = $1 AND experiment = $2 AND (archive_time IS NULL) = ($3::timestamptz IS NOT NULL)
                """,
                workspace,
                experiment,
                at,
                now,
            )
        return changed != "UPDATE 0"

    async def modify_tags(
        self, workspace: str, experiment: str, tags: Tags, removed: Sequence[str], at: datetime
    ) -> Labelled[Tags] | None:
        """Sets and removes tags; None if there is no such experiment."""
        return await modify_experiment_tags(self._postgres, workspace, experiment, tags, removed, at)

    async def delete(self, workspace: str, experiment: str) -> bool | None:
        """Deletes an experiment without runs; returns False if it has some, None if there is none."""
        async with self._postgres.transaction() as connection:
            if not await connection.fetchval(
                "SELECT true FROM runs.run_counter WHERE workspace = $1 AND experiment = $2 FOR UPDATE",
                workspace,
                experiment,
            ):
                return None
            return bool(
                await connection.fetchval(
                    """
                    WITH deleted AS (
                        DELETE FROM runs.run_counter
                         WHERE workspace = $1 AND experiment = $2
                           AND NOT EXISTS (SELECT FROM runs.run WHERE workspace = $1 AND experiment = $2)
                        RETURNING workspace, experiment
                    )
                    DELETE FROM runs.experiment e USING deleted d
                     WHERE e.workspace = d.workspace AND e.experiment = d.experiment
                    RETURNING true
                    """,
                    workspace,
                    experiment,
                )
            )


@contextmanager
def _unique_names() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError:
        raise NameTaken from None


def _no_metrics(metric: str, column: str, parameters: Parameters) -> str:
    raise AssertionError("experiments have no metrics")


def _experiment(row: asyncpg.Record) -> Experiment:
    return Experiment(**row)
