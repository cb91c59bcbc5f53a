"""Metrics of a run: logging and reading back."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics_api
from runstream.core import _filters as filters
from runstream.core._filters import all_of
from runstream.core._forms import E, R, W
from runstream.core._run.lifecycle import LifecycleCalls
from runstream.core._run.listing import list_records
from runstream.core._run.record import logger, run_id
from runstream.core._surface import dual
from runstream.core._threads import in_thread
from runstream.exceptions import AzureMLException

RUNS_PER_READ = 1000
READ_SECONDS = 300.0

Scalar = int | float | bool | str | None
Metrics = dict[str, Any]


class MetricCalls(LifecycleCalls[W, E, R], Generic[W, E, R]):
    """Logs metrics and reads them."""

    def log(self, name: str, value: object, description: str = "", step: int | None = None) -> None:
        """Logs one value under a name; it never waits for the services.

            run.log("loss", 0.31)
            run.log("loss", 0.27, step=2)

        Values logged under one name form a series, in the order of the calls. A value is a number, a text, a truth
        value or None; numbers of numpy and of one-element tensors are taken as such, anything else as its `repr` text.

        Raises:
            UserErrorException: The value is a list, a range or a generator: use `log_list`.
        """
        self._spool().log(name, value, step=step, description=description)

    def log_list(self, name: str, value: Iterable[object], description: str = "") -> None:
        """Logs values under a name, one after the other; they continue the series of that name.

            run.log_list("accuracies", [0.6, 0.7, 0.87])

        An iterator is used up at once. An empty list makes a metric that reads back as `[]`.

        Raises:
            TypeError: The value cannot be iterated over.
            AzureMLException: An element is itself a list or a dictionary.
        """
        self._spool().log_list(name, value, description=description)

    @dual
    async def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: str | None = None, populate: bool = False
    ) -> Metrics:
        """Reads what was logged, by name of metric: the bare value if there is one, a list if there are several.

            run.get_metrics()                    # {"loss": [0.31, 0.27], "learning_rate": 0.01}
            run.get_metrics("loss")              # {"loss": [0.31, 0.27]}; {} if there is no such metric
            run.get_metrics(recursive=True)      # {run id: {"loss": ...}}, of the run and all below it

        What this process has logged to the run is stored first. With `recursive`, runs without metrics are left out and
        `run_type` admits only descendants of that type.
        """
        await self._store_logged()
        if not recursive:
            return (await self._read_metrics([self._record.name], name)).get(self.id, {})
        below = all_of(filters.equals("ancestor", self.id), filters.of_type(run_type))
        names = [self._record.name, *(record.name for record in await list_records(self._workspace, below))]
        return await self._read_metrics(names, name)

    async def _store_logged(self) -> None:
        """Stores what this process logged, if anything. What was refused is left for `flush` to raise."""
        from runstream._spool import RunSpool

        spool = RunSpool.find(self._record.name, self._workspace._address)
        if spool is None:
            return
        try:
            await in_thread(spool.settle, READ_SECONDS)
        except AzureMLException as error:
            logger.warning("Run %s: %s", self.id, error.message)

    async def _read_metrics(self, runs: list[str], name: str | None) -> dict[str, Metrics]:
        values: dict[str, dict[str, list[Scalar]]] = {}
        for first in range(0, len(runs), RUNS_PER_READ):
            request = metrics_api.ReadSeriesRequest(
                runs=runs[first : first + RUNS_PER_READ], metrics=[] if name is None else [name]
            )
            connection = self._connection()
            async for response in connection.stream(connection.metrics.ReadSeries, request, timeout=READ_SECONDS):
                of_run = values.setdefault(run_id(response.run), {})
                of_run.setdefault(response.columns.metric, []).extend(_values(response.columns))
        return {run: {metric: shape(found) for metric, found in of_run.items()} for run, of_run in values.items()}


def _values(columns: metrics_api.SeriesColumns) -> Sequence[Scalar]:
    kind = columns.WhichOneof("values")
    if kind is None or kind == "nulls":
        return [None] * columns.nulls.count
    return list(getattr(columns, kind).values)


def shape(values: list[Scalar]) -> Any:
    """One value bare, several as a list; integers among doubles are doubles."""
    if any(type(value) is float for value in values):
        values = [float(value) if type(value) is int else value for value in values]
    return values[0] if len(values) == 1 else values
