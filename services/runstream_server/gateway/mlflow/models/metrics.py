"""What metrics say about logged models."""

from collections.abc import Iterable
from typing import Protocol

from runstream_server.gateway.mlflow.errors import wrong
from runstream_server.gateway.mlflow.models.known import KnownModels, model_not_found
from runstream_server.gateway.store.logged_model_labels import MAX_METRICS, ModelMetric, TooMany
from runstream_server.gateway.store.logged_models import LoggedModelStore, ModelGone
from runstream_server.gateway.visitors import Visitor


class Logged(Protocol):
    """A value of a metric that was logged to a run."""

    @property
    def key(self) -> str:
        """The name of the metric."""

    @property
    def value(self) -> float:
        """The value."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the Unix epoch."""

    @property
    def step(self) -> int:
        """The step."""

    @property
    def model_id(self) -> str:
        """The model that it says something about; empty: none."""

    @property
    def dataset_name(self) -> str:
        """What it was computed on; empty: unknown."""

    @property
    def dataset_digest(self) -> str:
        """Which version of that."""


class ModelMetrics:
    """Keeps of the metrics of models the latest values."""

    def __init__(self, models: KnownModels, store: LoggedModelStore) -> None:
        self._models = models
        self._store = store

    async def check(self, visitor: Visitor, metrics: Iterable[Logged]) -> None:
        """Raises MlflowError unless the visitor reaches all models that metrics name. To be called before they are
        stored, since nothing of a batch is stored that is refused.
        """
        for model_id in sorted({each.model_id for each in metrics} - {""}):
            await self._models.find_active(visitor, model_id)

    async def record(self, visitor: Visitor, run_id: str, metrics: Iterable[Logged]) -> None:
        """Notes with their models what metrics of a run say, once they are stored with the run. Of each key and
        dataset the greatest by step, time and value is kept. Doing so again changes nothing.

        Raises:
            MlflowError: A model is not there, or has too many metrics.
        """
        by_model: dict[str, list[ModelMetric]] = {}
        for each in metrics:
            if each.model_id:
                by_model.setdefault(each.model_id, []).append(_metric(each))
        for model_id in by_model:
            await self._models.find_active(visitor, model_id)
        await self._record(visitor, run_id, by_model)

    async def _record(self, visitor: Visitor, run_id: str, by_model: dict[str, list[ModelMetric]]) -> None:
        if not by_model:
            return
        try:
            await self._store.record(visitor.workspace.workspace, run_id, by_model)
        except ModelGone as gone:
            raise model_not_found(gone.model_id) from None
        except TooMany:
            raise wrong(f"A logged model has up to {MAX_METRICS} metrics; log to another one.") from None


def _metric(logged: Logged) -> ModelMetric:
    return ModelMetric(
        logged.key, logged.value, logged.step, logged.timestamp, logged.dataset_name, logged.dataset_digest
    )
