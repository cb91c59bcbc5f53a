"""Keeps the tags, the params and the metrics of logged models. Each function is part of a transaction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runstream_server.postgres import Connection, Postgres

MAX_LABELS = 1_000
"""How many tags a model has, and how many params."""

MAX_METRICS = 10_000
"""How many metrics a model has, each of one dataset."""

_TAGS = """
SELECT model_id, key, value FROM gateway.logged_model_tag
 WHERE workspace = $1 AND model_id = ANY ($2::text[]) AND ($3::text[] IS NULL OR key = ANY ($3::text[]))
 ORDER BY key
"""

_PARAMS = """
SELECT model_id, key, value FROM gateway.logged_model_param
 WHERE workspace = $1 AND model_id = ANY ($2::text[]) AND ($3::text[] IS NULL OR key = ANY ($3::text[]))
 ORDER BY key
"""

_METRICS = """
SELECT model_id, key, dataset_name, dataset_digest, run, value, step, time_ms FROM gateway.logged_model_metric
 WHERE workspace = $1 AND model_id = ANY ($2::text[]) AND ($3::text[] IS NULL OR key = ANY ($3::text[]))
 ORDER BY key, dataset_name, dataset_digest
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
 WHERE (EXCLUDED.step, EXCLUDED.time_ms, EXCLUDED.value <> 'NaN', EXCLUDED.value)
     > (known.step, known.time_ms, known.value <> 'NaN', known.value)
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


class ParamStored(Exception):
    """A param has another value already."""

    def __init__(self, key: str, old: str, new: str) -> None:
        super().__init__(key)
        self.key, self.old, self.new = key, old, new


class TooMany(Exception):
    """A model would have more tags, params or metrics than it may."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Which tags, params and metrics to read; None: all."""

    tags: Sequence[str] | None = None
    params: Sequence[str] | None = None
    metrics: Sequence[str] | None = None


async def read_labels(
    postgres: Postgres, workspace: str, model_ids: Sequence[str], keys: Keys
) -> tuple[Mapping[str, Mapping[str, str]], Mapping[str, Mapping[str, str]], Mapping[str, Sequence[ModelMetric]]]:
    """Returns tags, params and metrics, each by model and in order of key."""

    async def rows(query: str, wanted: Sequence[str] | None) -> Sequence[Any]:
        return [] if wanted == [] else await postgres.fetch(query, workspace, model_ids, wanted)

    tags, params = _texts(await rows(_TAGS, keys.tags)), _texts(await rows(_PARAMS, keys.params))
    metrics: dict[str, list[ModelMetric]] = {}
    for row in await rows(_METRICS, keys.metrics):
        metrics.setdefault(row["model_id"], []).append(_metric(row))
    return tags, params, metrics


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


async def set_tags(transaction: Connection, workspace: str, model_id: str, tags: Mapping[str, str]) -> None:
    """Sets tags; raises TooMany."""
    if tags:
        await transaction.execute(_SET_TAGS, workspace, model_id, list(tags), list(tags.values()))
        await _check(transaction, _COUNT_TAGS, MAX_LABELS, workspace, model_id)


async def add_params(transaction: Connection, workspace: str, model_id: str, params: Mapping[str, str]) -> None:
    """Adds params, but for those that are there with their values; raises ParamStored and TooMany."""
    if not params:
        return
    arguments = workspace, model_id, list(params), list(params.values())
    await transaction.execute(_ADD_PARAMS, *arguments)
    other = await transaction.fetchrow(_OTHER_PARAM, *arguments)
    if other:
        raise ParamStored(other["key"], other["old"], other["new"])
    await _check(transaction, _COUNT_PARAMS, MAX_LABELS, workspace, model_id)


async def record(
    transaction: Connection, workspace: str, model_id: str, run: str, logged: Sequence[ModelMetric]
) -> None:
    """Keeps of metrics that a run logged the latest of each key and dataset; raises TooMany."""
    latest: dict[tuple[str, str, str], ModelMetric] = {}
    for each in sorted(logged, key=_order):
        latest[each.key, each.dataset_name, each.dataset_digest] = each
    columns = zip(*((*key, each.value, each.step, each.time_ms) for key, each in latest.items()), strict=True)
    await transaction.execute(_RECORD, workspace, model_id, run, *map(list, columns))
    await _check(transaction, _COUNT_METRICS, MAX_METRICS, workspace, model_id)


async def delete_tag(transaction: Connection, workspace: str, model_id: str, key: str) -> bool:
    """Removes a tag; returns whether there was one."""
    return await transaction.fetchval(_DELETE_TAG, workspace, model_id, key) is not None


def _order(metric: ModelMetric) -> tuple[int, int, bool, float]:
    """What is greater is later; NaN is below all other numbers, as in the latest values of runs."""
    is_number = not math.isnan(metric.value)
    return metric.step, metric.time_ms, is_number, metric.value if is_number else 0.0


async def _check(transaction: Connection, count: str, most: int, workspace: str, model_id: str) -> None:
    if await transaction.fetchval(count, workspace, model_id) > most:
        raise TooMany
