"""Keeps logged models: what is known of each, but for its files."""

import math
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from runstream_server.postgres import Connection, Postgres

PENDING = "LOGGED_MODEL_PENDING"
READY = "LOGGED_MODEL_READY"
UPLOAD_FAILED = "LOGGED_MODEL_UPLOAD_FAILED"

MAX_LABELS = 10_000
"""How many tags a model has, how many params, and how many metrics."""

_COLUMNS = (
    "workspace, model_id, experiment_number, run, has_source_run, name, model_type, status, create_ms, update_ms,"
    " delete_ms"
)

_ADD = f"INSERT INTO gateway.logged_model ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL)"

_FIND = f"SELECT {_COLUMNS} FROM gateway.logged_model WHERE workspace = $1 AND model_id = ANY ($2::text[])"

_FIND_OF_RUN = (
    "SELECT model_id FROM gateway.logged_model WHERE workspace = $1 AND run = $2 AND model_id = ANY ($3::text[])"
)

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

_TAGS = """
SELECT model_id, key, value FROM gateway.logged_model_tag
 WHERE workspace = $1 AND model_id = ANY ($2::text[]) ORDER BY key
"""

_PARAMS = """
SELECT model_id, key, value FROM gateway.logged_model_param
 WHERE workspace = $1 AND model_id = ANY ($2::text[]) ORDER BY key
"""

_METRICS = """
SELECT model_id, key, dataset_name, dataset_digest, run, value, step, time_ms FROM gateway.logged_model_metric
 WHERE workspace = $1 AND model_id = ANY ($2::text[]) ORDER BY key, dataset_name, dataset_digest
"""

_SET_TAGS = """
INSERT INTO gateway.logged_model_tag (workspace, model_id, key, value)
SELECT $1, $2, key, value FROM unnest($3::text[], $4::text[]) AS tag (key, value)
ON CONFLICT (workspace, model_id, key) DO UPDATE SET value = EXCLUDED.value
"""

_DELETE_TAG = "DELETE FROM gateway.logged_model_tag WHERE workspace = $1 AND model_id = $2 AND key = $3 RETURNING key"

_ADD_PARAMS = """
INSERT INTO gateway.logged_model_param (workspace, model_id, key, value)
SELECT $1, $2, key, value FROM unnest($3::text[], $4::text[]) AS param (key, value)
ON CONFLICT DO NOTHING
"""

_OTHER_PARAM = """
SELECT stored.key, stored.value AS old, param.value AS new
  FROM unnest($3::text[], $4::text[]) AS param (key, value)
  JOIN gateway.logged_model_param AS stored ON stored.workspace = $1 AND stored.model_id = $2 AND stored.key = param.key
 WHERE stored.value <> param.value
 ORDER BY stored.key LIMIT 1
"""

_COUNT_TAGS = "SELECT count(*) FROM gateway.logged_model_tag WHERE workspace = $1 AND model_id = $2"

_COUNT_PARAMS = "SELECT count(*) FROM gateway.logged_model_param WHERE workspace = $1 AND model_id = $2"

_COUNT_METRICS = "SELECT count(*) FROM gateway.logged_model_metric WHERE workspace = $1 AND model_id = $2"

_RECORD = """
INSERT INTO gateway.logged_model_metric AS known
       (workspace, model_id, key, dataset_name, dataset_digest, run, value, step, time_ms)
SELECT $1, $2, key, dataset_name, dataset_digest, $3, value, step, time_ms
  FROM unnest($4::text[], $5::text[], $6::text[], $7::float8[], $8::bigint[], $9::bigint[])
       AS metric (key, dataset_name, dataset_digest, value, step, time_ms)
ON CONFLICT (workspace, model_id, key, dataset_name, dataset_digest) DO UPDATE
   SET run = EXCLUDED.run, value = EXCLUDED.value, step = EXCLUDED.step, time_ms = EXCLUDED.time_ms
 WHERE (EXCLUDED.step, EXCLUDED.time_ms, EXCLUDED.value) > (known.step, known.time_ms, known.value)
"""


@dataclass(frozen=True, slots=True)
class ModelMetric:
    """A value of a metric that was logged for a model."""

    key: str
    value: float
    step: int
    time_ms: int

    dataset_name: str = ""
    """Empty: of no dataset."""

    dataset_digest: str = ""

    run: str = ""
    """The id of the run that logged it."""


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


class ParamStored(Exception):
    """A param has another value already."""

    def __init__(self, key: str, old: str, new: str) -> None:
        super().__init__(key)
        self.key, self.old, self.new = key, old, new


class TooMany(Exception):
    """A model would have more tags, params or metrics than `MAX_LABELS`."""


class ModelGone(Exception):
    """A model is not there, or deleted."""


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
            await _set_tags(transaction, model.workspace, model.model_id, model.tags)
            await _add_params(transaction, model.workspace, model.model_id, model.params)

    async def find(self, workspace: str, model_id: str) -> LoggedModel | None:
        """Returns a model without tags, params and metrics; a deleted one too."""
        row = await self._postgres.fetchrow(_FIND, workspace, [model_id])
        return model_of(row) if row else None

    async def find_all(self, workspace: str, model_ids: Collection[str]) -> Sequence[LoggedModel]:
        """Returns models with everything, in no particular order; deleted ones too."""
        rows = await self._postgres.fetch(_FIND, workspace, list(model_ids))
        return await self.complete([model_of(row) for row in rows])

    async def complete(self, models: Sequence[LoggedModel]) -> Sequence[LoggedModel]:
        """Returns models of one workspace with their tags, params and metrics, in their order."""
        if not models:
            return []
        asked = models[0].workspace, [model.model_id for model in models]
        tags, params = [_texts(await self._postgres.fetch(query, *asked)) for query in (_TAGS, _PARAMS)]
        metrics: dict[str, list[ModelMetric]] = {}
        for row in await self._postgres.fetch(_METRICS, *asked):
            metrics.setdefault(row["model_id"], []).append(_metric(row))
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
            await _set_tags(transaction, workspace, model_id, tags)

    async def delete_tag(self, workspace: str, model_id: str, key: str, at_ms: int) -> bool:
        """Removes a tag; returns whether there was one. Raises ModelGone."""
        async with self._changing(workspace, model_id, at_ms) as transaction:
            return await transaction.fetchval(_DELETE_TAG, workspace, model_id, key) is not None

    async def add_params(self, workspace: str, model_id: str, params: Mapping[str, str], at_ms: int) -> None:
        """Adds params; those that are there with these values stay. Raises ModelGone, ParamStored and TooMany."""
        async with self._changing(workspace, model_id, at_ms) as transaction:
            await _add_params(transaction, workspace, model_id, params)

    async def delete(self, workspace: str, model_id: str, at_ms: int) -> None:
        """Marks a model as deleted; doing so again changes nothing."""
        await self._postgres.execute(_DELETE, workspace, model_id, at_ms)

    async def record(self, workspace: str, run: str, metrics: Mapping[str, Sequence[ModelMetric]]) -> None:
        """Keeps of metrics that a run logged, by model, what is the latest by step, time and value of each key and
        dataset. Doing so again changes nothing. Raises ModelGone and TooMany.
        """
        async with self._postgres.transaction() as transaction:
            locked = await transaction.fetch(_LOCK, workspace, list(metrics))
            if len(locked) < len(metrics):
                raise ModelGone
            for model_id, logged in metrics.items():
                await _record(transaction, workspace, model_id, run, logged)

    @asynccontextmanager
    async def _changing(
        self, workspace: str, model_id: str, at_ms: int, status: str | None = None
    ) -> AsyncIterator[Connection]:
        async with self._postgres.transaction() as transaction:
            if await transaction.fetchval(_TOUCH, workspace, model_id, at_ms, status) is None:
                raise ModelGone
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


def _metric(row: Any) -> ModelMetric:
    return ModelMetric(
        row["key"],
        row["value"],
        row["step"],
        row["time_ms"],
        row["dataset_name"],
        row["dataset_digest"],
        row["run"],
    )


def _texts(rows: Sequence[Any]) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["model_id"], {})[row["key"]] = row["value"]
    return found


async def _set_tags(transaction: Connection, workspace: str, model_id: str, tags: Mapping[str, str]) -> None:
    if tags:
        await transaction.execute(_SET_TAGS, workspace, model_id, list(tags), list(tags.values()))
        await _check(transaction, _COUNT_TAGS, workspace, model_id)


async def _add_params(transaction: Connection, workspace: str, model_id: str, params: Mapping[str, str]) -> None:
    if not params:
        return
    arguments = workspace, model_id, list(params), list(params.values())
    await transaction.execute(_ADD_PARAMS, *arguments)
    other = await transaction.fetchrow(_OTHER_PARAM, *arguments)
    if other:
        raise ParamStored(other["key"], other["old"], other["new"])
    await _check(transaction, _COUNT_PARAMS, workspace, model_id)


async def _record(
    transaction: Connection, workspace: str, model_id: str, run: str, logged: Sequence[ModelMetric]
) -> None:
    latest: dict[tuple[str, str, str], ModelMetric] = {}
    for each in sorted(logged, key=_order):
        latest[each.key, each.dataset_name, each.dataset_digest] = each
    columns = zip(*((*key, each.value, each.step, each.time_ms) for key, each in latest.items()), strict=True)
    await transaction.execute(_RECORD, workspace, model_id, run, *map(list, columns))
    await _check(transaction, _COUNT_METRICS, workspace, model_id)


def _order(metric: ModelMetric) -> tuple[int, int, bool, float]:
    """As Postgres compares values: NaN is above all others."""
    is_nan = math.isnan(metric.value)
    return metric.step, metric.time_ms, is_nan, 0.0 if is_nan else metric.value


async def _check(transaction: Connection, count: str, workspace: str, model_id: str) -> None:
    if await transaction.fetchval(count, workspace, model_id) > MAX_LABELS:
        raise TooMany
