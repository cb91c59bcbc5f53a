"""Keeps logged models: what is known of each, but for its files."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from runstream_server.gateway.store.logged_model_labels import (
    Keys,
    ModelMetric,
    add_params,
    delete_tag,
    read_labels,
    record,
    set_tags,
)
from runstream_server.postgres import Connection, Postgres

PENDING = "LOGGED_MODEL_PENDING"
READY = "LOGGED_MODEL_READY"
UPLOAD_FAILED = "LOGGED_MODEL_UPLOAD_FAILED"

EVERY_KEY = Keys()

_COLUMNS = (
    "workspace, model_id, experiment_number, run, has_source_run, name, model_type, status, create_ms, update_ms,"
    " delete_ms"
)

_ADD = f"INSERT INTO gateway.logged_model ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL)"

_FIND = f"SELECT {_COLUMNS} FROM gateway.logged_model WHERE workspace = $1 AND model_id = $2"

_FIND_OF_RUN = (
    "SELECT model_id FROM gateway.logged_model WHERE workspace = $1 AND run = $2 AND model_id = ANY ($3::text[])"
)

_PAGE = f"""
SELECT {_COLUMNS} FROM gateway.logged_model
 WHERE workspace = $1 AND experiment_number = ANY ($2::bigint[]) AND delete_ms IS NULL AND model_id > $3
   AND ($4::text IS NULL OR name = $4)
   AND ($5::text IS NULL OR (run = $5 AND has_source_run))
   AND ($6::text[] IS NULL OR run = ANY ($6::text[]))
 ORDER BY model_id
 LIMIT $7
"""

_LOCK = """
SELECT model_id FROM gateway.logged_model
 WHERE workspace = $1 AND model_id = ANY ($2::text[]) AND delete_ms IS NULL
 ORDER BY model_id
   FOR UPDATE
"""

_TOUCH = """
UPDATE gateway.logged_model SET update_ms = greatest(update_ms, $3), status = coalesce($4, status)
 WHERE workspace = $1 AND model_id = $2 AND delete_ms IS NULL
RETURNING model_id
"""

_DELETE = """
UPDATE gateway.logged_model SET delete_ms = coalesce(delete_ms, $3) WHERE workspace = $1 AND model_id = $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedModel:
    """A logged model."""

    workspace: str
    model_id: str
    experiment_number: int

    run: str
    """The id of the run that has its files: who reaches that one reaches the model."""

    has_source_run: bool
    """Whether that run logged it; else it is there for the model alone."""

    name: str
    model_type: str
    create_ms: int
    update_ms: int
    status: str = PENDING
    is_deleted: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[ModelMetric] = ()


@dataclass(frozen=True, slots=True)
class ModelsWanted:
    """Which models to read."""

    workspace: str
    experiment_numbers: Sequence[int]
    name: str | None = None

    run: str | None = None
    """The source run."""

    runs: Sequence[str] | None = None
    """The runs that may have their files; None: any."""


class ModelGone(Exception):
    """A model is not there, or deleted."""

    def __init__(self, model_id: str) -> None:
        super().__init__(model_id)
        self.model_id = model_id


class LoggedModelStore:
    """Keeps models in Postgres."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(self, model: LoggedModel) -> None:
        """Adds a model with its tags and params, and no metrics; raises TooMany."""
        async with self._postgres.transaction() as transaction:
            await transaction.execute(
                _ADD,
                model.workspace,
                model.model_id,
                model.experiment_number,
                model.run,
                model.has_source_run,
                model.name,
                model.model_type,
                model.status,
                model.create_ms,
                model.update_ms,
            )
            await set_tags(transaction, model.workspace, model.model_id, model.tags)
            await add_params(transaction, model.workspace, model.model_id, model.params)

    async def find(self, workspace: str, model_id: str) -> LoggedModel | None:
        """Returns a model without tags, params and metrics; a deleted one too."""
        row = await self._postgres.fetchrow(_FIND, workspace, model_id)
        return model_of(row) if row else None

    async def page(self, wanted: ModelsWanted, after: str, count: int) -> Sequence[LoggedModel]:
        """Returns up to `count` models that are not deleted, by ascending id after `after`, as `find` does."""
        rows = await self._postgres.fetch(
            _PAGE,
            wanted.workspace,
            list(wanted.experiment_numbers),
            after,
            wanted.name,
            wanted.run,
            wanted.runs,
            count,
        )
        return [model_of(row) for row in rows]

    async def complete(self, models: Sequence[LoggedModel], keys: Keys = EVERY_KEY) -> Sequence[LoggedModel]:
        """Returns models of one workspace with their tags, params and metrics of some keys, in their order."""
        if not models:
            return []
        ids = [model.model_id for model in models]
        tags, params, metrics = await read_labels(self._postgres, models[0].workspace, ids, keys)
        return [
            replace(
                model,
                tags=tags.get(model.model_id, {}),
                params=params.get(model.model_id, {}),
                metrics=metrics.get(model.model_id, ()),
            )
            for model in models
        ]

    async def of_run(self, workspace: str, run: str, model_ids: Collection[str]) -> frozenset[str]:
        """Those of some ids that are models which have their files in a run; deleted ones too."""
        rows = await self._postgres.fetch(_FIND_OF_RUN, workspace, run, list(model_ids))
        return frozenset(row["model_id"] for row in rows)

    async def set_status(self, workspace: str, model_id: str, status: str, at_ms: int) -> None:
        """Changes the status; raises ModelGone."""
        async with self._changing(workspace, model_id, at_ms, status):
            pass

    async def set_tags(self, workspace: str, model_id: str, tags: Mapping[str, str], at_ms: int) -> None:
        """Sets tags; raises ModelGone and TooMany."""
        async with self._changing(workspace, model_id, at_ms) as transaction:
            await set_tags(transaction, workspace, model_id, tags)

    async def delete_tag(self, workspace: str, model_id: str, key: str, at_ms: int) -> bool:
        """Removes a tag; returns whether there was one. Raises ModelGone."""
        async with self._changing(workspace, model_id, at_ms) as transaction:
            return await delete_tag(transaction, workspace, model_id, key)

    async def add_params(self, workspace: str, model_id: str, params: Mapping[str, str], at_ms: int) -> None:
        """Adds params; those that are there with these values stay. Raises ModelGone, ParamStored and TooMany."""
        async with self._changing(workspace, model_id, at_ms) as transaction:
            await add_params(transaction, workspace, model_id, params)

    async def delete(self, workspace: str, model_id: str, at_ms: int) -> None:
        """Marks a model as deleted; doing so again changes nothing."""
        await self._postgres.execute(_DELETE, workspace, model_id, at_ms)

    async def record(self, workspace: str, run: str, metrics: Mapping[str, Sequence[ModelMetric]]) -> None:
        """Keeps of metrics that a run logged, by model, what is the latest by step, time and value of each key and
        dataset. Doing so again changes nothing. Raises ModelGone and TooMany.
        """
        async with self._postgres.transaction() as transaction:
            locked = {row["model_id"] for row in await transaction.fetch(_LOCK, workspace, list(metrics))}
            if gone := metrics.keys() - locked:
                raise ModelGone(min(gone))
            for model_id, logged in metrics.items():
                await record(transaction, workspace, model_id, run, logged)

    @asynccontextmanager
    async def _changing(
        self, workspace: str, model_id: str, at_ms: int, status: str | None = None
    ) -> AsyncIterator[Connection]:
        async with self._postgres.transaction() as transaction:
            if await transaction.fetchval(_TOUCH, workspace, model_id, at_ms, status) is None:
                raise ModelGone(model_id)
            yield transaction


def model_of(row: Any) -> LoggedModel:
    """The model of a row, without tags, params and metrics."""
    return LoggedModel(
        workspace=row["workspace"],
        model_id=row["model_id"],
        experiment_number=row["experiment_number"],
        run=row["run"],
        has_source_run=row["has_source_run"],
        name=row["name"],
        model_type=row["model_type"],
        status=row["status"],
        create_ms=row["create_ms"],
        update_ms=row["update_ms"],
        is_deleted=row["delete_ms"] is not None,
    )
