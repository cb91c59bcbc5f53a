"""Metrics of a run: logging and reading back."""

from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic

from runstream._channel.threads import in_thread
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics_api
from runstream.core import _filters as filters
from runstream.core._artifact_metric import ArtifactMetric
from runstream.core._artifact_paths import artifact_uri
from runstream.core._filters import all_of
from runstream.core._forms import E, R, W
from runstream.core._run.charts import ChartCalls
from runstream.core._run.listing import list_records
from runstream.core._run.record import logger, run_id
from runstream.core._series import ARTIFACTS, TABLE, Gathered, Scalar
from runstream.core._surface import dual
from runstream.exceptions import AzureMLException

RUNS_PER_READ = 1000
READ_SECONDS = 300.0

Metrics = dict[str, Any]


class MetricCalls(ChartCalls[W, E, R], Generic[W, E, R]):
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

    def log_metrics(self, metrics: Mapping[str, object], step: int | None = None) -> None:
        """Logs one value under each of several names, all at one time.

            run.log_metrics({"loss": 0.27, "accuracy": 0.9}, step=2)

        Cheaper than as many calls of `log`: they are written together.

        Raises:
            UserErrorException: A value is a list, a range or a generator; then nothing is logged.
        """
        self._spool().log_many(metrics, step)

    def log_row(self, name: str, description: str | None = None, **kwargs: object) -> None:
        """Logs one row of a table: a value per column.

            run.log_row("errors", x=1, y=0.31)

        Rows logged under one name form a table. A later row may have other columns: what a row does not have is None.

        Raises:
            UserErrorException: There is no column.
            AzureMLException: A value is a list or another container.
        """
        self._spool().log_row(name, kwargs, description)

    def log_table(self, name: str, value: Mapping[str, Any], description: str = "") -> None:
        """Logs rows of a table, given as columns; they continue the table of that name.

            run.log_table("errors", {"x": [1, 2, 3], "y": [0.31, 0.27, 0.26]})

        A column is a list, a tuple, an array or a series, or one value for a table of one row.

        Raises:
            UserErrorException: There is no column.
            AzureMLException: The columns differ in length, or an element is itself a container.
        """
        self._spool().log_table(name, value, description)

    @dual
    async def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: str | None = None, populate: bool = False
    ) -> Metrics:
        """Reads what was logged, by name of metric: the bare value if there is one, a list if there are several.

            run.get_metrics()                    # {"loss": [0.31, 0.27], "learning_rate": 0.01}
            run.get_metrics("loss")              # {"loss": [0.31, 0.27]}; {} if there is no such metric
            run.get_metrics(recursive=True)      # {run id: {"loss": ...}}, of the run and all below it

        Of a table it is a dict of columns; of a picture or chart, where its file is: `aml://artifactId/...`, and with
        `populate` an object that has its `data`. What this process has logged to the run is stored first. With
        `recursive`, runs without metrics are left out and `run_type` admits only descendants of that type.
        """
        await self._store_logged()
        found = await self._read_metrics(await self._names(recursive, run_type), name)
        shaped = {run: await self._shape_all(run, metrics, populate) for run, metrics in found.items()}
        return shaped if recursive else shaped.get(self.id, {})

    async def _names(self, recursive: bool, run_type: str | None) -> list[str]:
        """The names of this run and, with `recursive`, of those below it."""
        if not recursive:
            return [self._record.name]
        below = all_of(filters.equals("ancestor", self.id), filters.of_type(run_type))
        return [self._record.name, *(record.name for record in await list_records(self._workspace, below))]

    async def _store_logged(self, name: str = "") -> None:
        """Stores what this process logged, if anything, to this run or the one of the resource name that is given.

        What was refused is left for `flush` to raise.
        """
        from runstream._spool import RunSpool

        spool = RunSpool.find(name or self._record.name, self._workspace._address)
        if spool is None:
            return
        try:
            await in_thread(spool.settle, READ_SECONDS)
        except AzureMLException as error:
            logger.warning("Run %s: %s", run_id(name or self._record.name), error.message)

    async def _read_metrics(self, runs: list[str], name: str | None) -> dict[str, dict[str, Gathered]]:
        found: dict[str, dict[str, Gathered]] = {}
        for first in range(0, len(runs), RUNS_PER_READ):
            request = metrics_api.ReadSeriesRequest(
                runs=runs[first : first + RUNS_PER_READ], metrics=[] if name is None else [name]
            )
            async for response in self._read_series(request):
                of_run = found.setdefault(run_id(response.run), {})
                of_run.setdefault(response.columns.metric, Gathered()).add(response.columns)
        return found

    def _read_series(self, request: metrics_api.ReadSeriesRequest) -> AsyncIterator[metrics_api.ReadSeriesResponse]:
        connection = self._connection()
        return connection.stream(connection.metrics.ReadSeries, request, timeout=READ_SECONDS)

    async def _shape_all(self, run: str, metrics: Mapping[str, Gathered], populate: bool) -> Metrics:
        shaped = {metric: shape_of(run, gathered) for metric, gathered in metrics.items()}
        if populate:
            for metric, gathered in metrics.items():
                if gathered.kind == ARTIFACTS:
                    shaped[metric] = await self._populated(run, gathered)
        return shaped

    async def _populated(self, run: str, gathered: Gathered) -> ArtifactMetric:
        from runstream._transfer import download

        path = gathered.paths[0]
        with TemporaryDirectory() as folder:
            file = Path(folder, "content")
            await download(self._connection(), self._workspace._run_name(run), path, file)
            return ArtifactMetric(run, path, gathered.artifact_kind, await in_thread(file.read_bytes))


def shape_of(run: str, gathered: Gathered) -> Any:
    """A metric in the shape in which `get_metrics` returns it."""
    if gathered.kind == TABLE:
        return {name: shape(column.values()) for name, column in gathered.columns.items()}
    if gathered.kind == ARTIFACTS:
        return artifact_uri(run, gathered.paths[0])
    return shape(gathered.scalars.values())


def shape(values: list[Scalar]) -> Any:
    """One value bare, several as a list."""
    return values[0] if len(values) == 1 else values
