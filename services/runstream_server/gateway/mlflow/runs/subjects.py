"""Runs as they are searched."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.runs.documents import PARAM, run_info, start_of, tags_of
from runstream_server.gateway.mlflow.search import (
    LABEL,
    LISTED_TEXT,
    NUMBER,
    TEXT,
    Entity,
    Field,
    Order,
    Ordering,
    Scalar,
    Schema,
)
from runstream_server.gateway.store.inputs import UsedDataset

START_TIME = "start_time"

_OF_DATASETS = Field(LISTED_TEXT.comparators, can_order=False)

RUN_SCHEMA = Schema(
    Entity(
        name="attributes",
        aliases=["attribute", "attr", "run"],
        keys={
            "run_id": LISTED_TEXT,
            "run_name": TEXT,
            "status": TEXT,
            "user_id": TEXT,
            "artifact_uri": TEXT,
            START_TIME: NUMBER,
            "end_time": NUMBER,
        },
        key_aliases={
            "run name": "run_name",
            "Run name": "run_name",
            "Run Name": "run_name",
            "created": START_TIME,
            "Created": START_TIME,
        },
    ),
    Entity(name="metrics", aliases=["metric"], any_key=NUMBER),
    Entity(name="params", aliases=["param", "parameters", "parameter"], any_key=LABEL),
    Entity(name="tags", aliases=["tag"], any_key=LABEL),
    Entity(name="datasets", aliases=["dataset"], keys=dict.fromkeys(("name", "digest", "context"), _OF_DATASETS)),
)


def run_ordering(asked: Sequence[Order]) -> Ordering:
    """An ordering of runs; what it leaves open, the latest start decides, then the id."""
    return Ordering(
        asked, [Order("attributes", START_TIME, descending=True, is_number=True), Order("attributes", "run_id")]
    )


class SearchedRun:
    """A run, with what else a search asks of it."""

    def __init__(self, run: run_pb2.Run, experiment_id: str) -> None:
        self.run = run
        self._experiment_id = experiment_id
        self.metrics: Mapping[str, float] = {}
        """The latest values by name, of those that the search speaks of."""

        self.datasets: Sequence[UsedDataset] = ()
        """If the search speaks of them."""

    @cached_property
    def _info(self) -> Mapping[str, Scalar]:
        return run_info(self.run, self._experiment_id)

    @cached_property
    def _tags(self) -> Mapping[str, str]:
        return tags_of(self.run)

    def values(self, entity: str, key: str) -> Sequence[Scalar]:
        """What it has under a key of `RUN_SCHEMA`."""
        match entity:
            case "metrics":
                return _present(self.metrics.get(key))
            case "params":
                name = PARAM + key
                return (self.run.properties[name],) if name in self.run.properties else ()
            case "tags":
                return _present(self._tags.get(key))
            case "datasets":
                return [found for each in self.datasets if (found := getattr(each, key))]
        return (start_of(self.run),) if key == START_TIME else _present(self._info.get(key))


def _present(value: Scalar | None) -> Sequence[Scalar]:
    return () if value is None else (value,)
