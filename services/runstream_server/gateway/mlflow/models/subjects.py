"""What logged models have that filters and orders of searches speak of."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.search import (
    LABEL,
    LISTED_TEXT,
    NUMBER,
    Clause,
    Entity,
    Order,
    Ordering,
    Scalar,
    Schema,
    order_by,
)
from runstream_server.gateway.store.logged_model_labels import Keys, ModelMetric
from runstream_server.gateway.store.logged_models import LoggedModel

CREATION = "creation_timestamp_ms"
UPDATE = "last_updated_timestamp_ms"
_TEXTS = ("name", "model_id", "model_type", "status", "source_run_id", "experiment_id")
_OF_ANY = "metrics of any dataset"
_OF_DATASET = "metrics of a dataset"
"""What metrics are called in orders, where not those count that filters see."""
_STATUS = "LOGGED_MODEL_"
_METRIC = re.compile(r"metrics?\.([^`\"].*)", re.DOTALL)

MODEL_SCHEMA = Schema(
    Entity(
        name="attributes",
        aliases=["attribute", "attr", "model"],
        keys={**dict.fromkeys(_TEXTS, LISTED_TEXT), CREATION: NUMBER, UPDATE: NUMBER},
        key_aliases={
            "creation_timestamp": CREATION,
            "creation_time": CREATION,
            "last_updated_timestamp": UPDATE,
            "last_updated_time": UPDATE,
        },
    ),
    Entity(name="metrics", aliases=["metric"], any_key=NUMBER),
    Entity(name="params", aliases=["param", "parameters", "parameter"], any_key=LABEL),
    Entity(name="tags", aliases=["tag"], any_key=LABEL),
)

_TIES = [Order("attributes", CREATION, descending=True, is_number=True), Order("attributes", "model_id")]


@dataclass(frozen=True, slots=True)
class Dataset:
    """What metrics were computed on."""

    name: str

    digest: str
    """Empty: any."""

    def has(self, metric: ModelMetric) -> bool:
        """Whether a metric was computed on it."""
        return metric.dataset_name == self.name and self.digest in ("", metric.dataset_digest)


@dataclass(frozen=True, slots=True)
class ModelSubject:
    """A model that is searched for. Filters see of its metrics those of some datasets only, if there are any."""

    model: LoggedModel
    datasets: Sequence[Dataset] = ()

    def values(self, entity: str, key: str) -> Sequence[Scalar]:
        """What it has under a key; of a metric all values that are kept, the latest one first."""
        match entity:
            case "tags":
                return _one(self.model.tags.get(key))
            case "params":
                return _one(self.model.params.get(key))
            case "metrics":
                return self._metrics(key, self.datasets)
            case "attributes":
                return _one(self._attribute(key))
            case "metrics of any dataset":
                return self._metrics(key, [])
        name, dataset, digest = json.loads(key)
        return self._metrics(name, [Dataset(dataset, digest)])

    def has_datasets(self) -> bool:
        """Whether it has any metric that filters see."""
        return any(_is_of(each, self.datasets) for each in self.model.metrics)

    def _metrics(self, key: str, datasets: Sequence[Dataset]) -> Sequence[float]:
        found = [each for each in self.model.metrics if each.key == key and _is_of(each, datasets)]
        return [each.value for each in sorted(found, key=lambda each: (each.step, each.time_ms), reverse=True)]

    def _attribute(self, key: str) -> Scalar | None:
        model = self.model
        match key:
            case "name":
                return model.name
            case "model_id":
                return model.model_id
            case "model_type":
                return model.model_type
            case "status":
                return model.status.removeprefix(_STATUS)
            case "source_run_id":
                return model.run if model.has_source_run else None
            case "experiment_id":
                return str(model.experiment_number)
        return model.create_ms if key == CREATION else model.update_ms


def read_orders(fields: Fields) -> Ordering:
    """The ordering that `order_by` asks for; what it leaves open, the latest creation decides, then the id."""
    return Ordering([_order(each) for each in fields.objects("order_by")], _TIES)


def _order(fields: Fields) -> Order:
    name, descending = fields.text("field_name", most=1_000), not fields.truth("ascending", default=True)
    dataset, digest = fields.text_or("dataset_name", "", most=500), fields.text_or("dataset_digest", "", most=36)
    match = _METRIC.fullmatch(name)
    order = (
        Order("metrics", match[1], descending, True) if match else order_by(name, MODEL_SCHEMA, descending=descending)
    )
    if digest and not dataset:
        raise fields.error("dataset_digest", "expected a dataset_name with it")
    if order.entity != "metrics":
        if dataset:
            raise fields.error("dataset_name", "only metrics are of a dataset")
        return order
    if not dataset:
        return Order(_OF_ANY, order.key, descending, is_number=True)
    return Order(_OF_DATASET, json.dumps([order.key, dataset, digest]), descending, is_number=True)


def keys_of(named: Iterable[tuple[str, str]], datasets: Sequence[Dataset]) -> Keys:
    """What has to be read of models for clauses and orders that name these entities and keys."""
    found: dict[str, set[str]] = {"tags": set(), "params": set(), "metrics": set()}
    for entity, key in named:
        if entity == _OF_DATASET:
            found["metrics"].add(json.loads(key)[0])
        elif entity != "attributes":
            found["metrics" if entity == _OF_ANY else entity].add(key)
    metrics = None if datasets else sorted(found["metrics"])
    return Keys(sorted(found["tags"]), sorted(found["params"]), metrics)


def read_datasets(fields: Fields) -> Sequence[Dataset]:
    """The datasets whose metrics filters see; none: all metrics."""
    return [
        Dataset(each.text("dataset_name", most=500), each.text_or("dataset_digest", "", most=36))
        for each in fields.objects("datasets")
    ]


def without_prefix(clause: Clause) -> Clause:
    """The same clause, with statuses as they are searched for: `READY`, also where they are said as they travel."""
    if (clause.entity, clause.key) != ("attributes", "status") or clause.value is None:
        return clause
    value = clause.value
    texts = tuple(str(each).removeprefix(_STATUS) for each in (value if isinstance(value, tuple) else (value,)))
    return Clause(clause.entity, clause.key, clause.comparator, texts if isinstance(value, tuple) else texts[0])


def _one(value: Scalar | None) -> Sequence[Scalar]:
    return [] if value is None else [value]


def _is_of(metric: ModelMetric, datasets: Sequence[Dataset]) -> bool:
    return not datasets or any(each.has(metric) for each in datasets)
