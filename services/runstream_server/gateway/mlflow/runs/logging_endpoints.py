"""The endpoints that log to runs."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

from runstream_server.auth import Role
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint
from runstream_server.gateway.mlflow.errors import wrong
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.metrics.writers import MetricWriters
from runstream_server.gateway.mlflow.models.metrics import ModelMetrics
from runstream_server.gateway.mlflow.runs.finding import about_run, asked_run_id, get_active_run, run_name
from runstream_server.gateway.mlflow.runs.labelling import (
    add_params,
    check_room,
    conflict,
    delete_tag,
    modify_tags,
    set_tags,
    split_tags,
)
from runstream_server.gateway.mlflow.runs.labels import (
    PARAM,
    RUN_TAG,
    LoggedMetric,
    read_key,
    read_label,
    read_labels,
    read_metric,
    read_params,
)
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName

MAX_BATCH_BYTES = 1_000_000
MAX_METRICS = 1_000
MAX_PARAMS = 100
MAX_TAGS = 100
MAX_TOGETHER = 1_000

HISTORY_TAG = "mlflow.log-model.history"
_HISTORY = 10_000
_OF_MODEL = ("artifact_path", "flavors", "run_id", "utc_time_created")


class LoggingEndpoints:
    """Metrics, params and tags of runs."""

    def __init__(self, writers: MetricWriters, models: ModelMetrics) -> None:
        self._writers = writers
        self._models = models
        self._histories: WeakValueDictionary[RunName, asyncio.Lock] = WeakValueDictionary()

    def endpoints(self) -> Sequence[Endpoint]:
        """Everything that is logged but inputs and outputs."""
        return [
            Endpoint("POST", "runs/log-metric", self._log_metric, Role.WRITER),
            Endpoint("POST", "runs/log-parameter", self._log_parameter, Role.WRITER),
            Endpoint("POST", "runs/set-tag", self._set_tag, Role.WRITER),
            Endpoint("POST", "runs/delete-tag", self._delete_tag, Role.WRITER),
            Endpoint("POST", "runs/log-batch", self._log_batch, Role.WRITER, max_body_bytes=MAX_BATCH_BYTES),
            Endpoint("POST", "runs/log-model", self._log_model, Role.WRITER),
        ]

    async def _log_metric(self, visitor: Visitor, fields: Fields) -> Answer:
        run = run_name(visitor, asked_run_id(fields))
        metric = read_metric(fields)
        await self._models.check(visitor, [metric])
        await self._write(visitor, run, [metric])
        return {}

    async def _log_parameter(self, visitor: Visitor, fields: Fields) -> Answer:
        run = run_name(visitor, asked_run_id(fields))
        await add_params(visitor, run, dict([read_label(fields, PARAM)]))
        return {}

    async def _set_tag(self, visitor: Visitor, fields: Fields) -> Answer:
        run = run_name(visitor, asked_run_id(fields))
        await set_tags(visitor, run, dict([read_label(fields, RUN_TAG)]))
        return {}

    async def _delete_tag(self, visitor: Visitor, fields: Fields) -> Answer:
        run = run_name(visitor, asked_run_id(fields))
        await delete_tag(visitor, run, read_key(fields))
        return {}

    async def _log_batch(self, visitor: Visitor, fields: Fields) -> Answer:
        """Stores a batch, or nothing of it if any of it is wrong."""
        run = run_name(visitor, asked_run_id(fields))
        _check_counts(fields)
        metrics = [read_metric(each) for each in fields.objects("metrics", key="name")]
        params, tags = read_params(fields), read_labels(fields, "tags", RUN_TAG)
        await self._check_stored(visitor, run, metrics, params, tags)
        if params:
            await add_params(visitor, run, params)
        if tags:
            await set_tags(visitor, run, tags)
        if metrics:
            await self._write(visitor, run, metrics)
        return {}

    async def _check_stored(
        self,
        visitor: Visitor,
        run: RunName,
        metrics: Sequence[LoggedMetric],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """Raises MlflowError if a batch cannot be stored as a whole. A batch of one kind says so when it is stored."""
        split_tags(tags)
        await self._models.check(visitor, metrics)
        if bool(metrics) + bool(params) + bool(tags) != 1:
            found = await get_active_run(visitor, run.run)
            if problem := conflict(found, params):
                raise problem
            check_room(found, tags)
        if metrics:
            with about_run(run.run):
                await self._writers.check(visitor, run, metrics)

    async def _write(self, visitor: Visitor, run: RunName, metrics: Sequence[LoggedMetric]) -> None:
        with about_run(run.run):
            is_new = await self._writers.write(visitor, run, metrics)
        if not is_new:
            await get_active_run(visitor, run.run)
        await self._models.record(visitor, run.run, metrics)

    async def _log_model(self, visitor: Visitor, fields: Fields) -> Answer:
        """Appends a model to the history that old clients keep in a tag; the same one again changes nothing."""
        run = run_name(visitor, asked_run_id(fields))
        model = _read_model(fields)
        turn = self._histories.setdefault(run, asyncio.Lock())
        async with turn:
            found = await get_active_run(visitor, run.run)
            history = _read_history({tag.key: tag.value for tag in found.tags}.get(HISTORY_TAG, ""))
            if model not in history:
                await modify_tags(visitor, run, {HISTORY_TAG: _written_history([*history, model])}, [])
        return {}


def _check_counts(fields: Fields) -> None:
    counts = [len(fields.objects(name)) for name in ("metrics", "params", "tags")]
    for count, most, name in zip(
        counts, (MAX_METRICS, MAX_PARAMS, MAX_TAGS), ("metrics", "params", "tags"), strict=True
    ):
        if count > most:
            raise wrong(f"A batch has up to {most} {name}; got {count}. Send several batches.")
    if sum(counts) > MAX_TOGETHER:
        raise wrong(f"A batch has up to {MAX_TOGETHER} metrics, params and tags together; got {sum(counts)}.")


def _read_model(fields: Fields) -> Mapping[str, Any]:
    text = fields.text("model_json")
    try:
        model = json.loads(text)
    except (ValueError, RecursionError):
        raise fields.error("model_json", "expected JSON") from None
    if not isinstance(model, dict) or not all(name in model for name in _OF_MODEL):
        raise fields.error("model_json", f"expected an object with {', '.join(_OF_MODEL)}")
    return model


def _read_history(text: str) -> Sequence[Any]:
    try:
        history = json.loads(text) if text else []
    except (ValueError, RecursionError):
        history = None
    if not isinstance(history, list):
        raise wrong(f"Tag '{HISTORY_TAG}' is no list in JSON; delete it first.")
    return history


def _written_history(history: Sequence[Any]) -> str:
    text = json.dumps(history)
    if len(text) > _HISTORY:
        raise wrong(f"Tag '{HISTORY_TAG}' has no room for one more model; delete it, or use another run.")
    return text
