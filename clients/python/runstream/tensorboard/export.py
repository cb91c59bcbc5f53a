"""`export_to_tensorboard`."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from runstream._channel import loop
from runstream._channel.backoff import backoff_seconds
from runstream._channel.pages import pages
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics_api
from runstream.core._log_reading import MAX_FAILURES
from runstream.core._log_tail import RESUMABLE
from runstream.core._run.record import run_id
from runstream.exceptions import ServiceException, UserErrorException
from runstream.tensorboard._exported import Exported
from runstream.tensorboard._folders import run_folder
from runstream.tensorboard._runs import checked_runs

__all__ = ["export_to_tensorboard"]

PAGE_SIZE: Final = 10_000
METRICS_PER_READ: Final = 1_000
NUMBERS: Final = frozenset({"doubles", "int64s", "bools"})

_logger = logging.getLogger("runstream")


def export_to_tensorboard(
    run_data: Any,
    logsdir: str | os.PathLike[str],
    logger: logging.Logger | None = None,
    recursive: bool = True,
) -> None:
    """Writes the metrics of a run, or of several, as event files that TensorBoard shows.

        export_to_tensorboard(run, "exported")
        Tensorboard([], local_root="exported").start()

    Each run has a folder of its id below `logsdir`, and so has, with `recursive`, each run below it. Every number and
    truth value of a metric is a scalar with the step and the time with which it was logged; the columns of tables are
    `metric/column`. Texts, missing values, images and charts are left out.

    What this process has logged to the runs is stored first. A run may go on: a later call adds what came since, each
    value is written once. `logger` is told how much was written.

    Raises:
        UserErrorException: What is given is no run, there is none, or numpy, which comes with TensorBoard, is missing.
    """
    runs = checked_runs(run_data)
    if not runs:
        raise UserErrorException("export_to_tensorboard needs a run, or a list with one at least.")
    if find_spec("numpy") is None:
        raise UserErrorException("export_to_tensorboard needs numpy: pip install tensorboard")
    loop.run(_export_all(runs, Path(logsdir), logger or _logger, recursive=recursive))


async def _export_all(runs: Sequence[Any], root: Path, logger: logging.Logger, *, recursive: bool) -> None:
    exported: set[str] = set()
    for run in runs:
        for name in await run._names(recursive, None):
            if name not in exported:
                exported.add(name)
                await run._store_logged(name)
                folder = run_folder(root, run_id(name), name)
                count = await _export(run, name, folder)
                logger.info("Run %s: %s values were exported to %s.", run_id(name), f"{count:,}", folder)


async def _export(run: Any, name: str, folder: Path) -> int:
    """Exports what is new of the run of this name; how many values that is. `run` is how the services are reached."""
    from runstream.tensorboard._events import first_record, scalar_records

    count = 0
    with Exported.opened(folder) as exported:
        if exported.is_new:
            exported.append(first_record(time.time()))
        async for response in _read_new(run, name, exported.progress):
            columns = response.columns
            tags = list(numbers_of(columns))
            exported.append(b"".join(scalar_records(tag, columns.steps, columns.times, values) for tag, values in tags))
            exported.progress[columns.metric] = response.start_index + len(columns.times)
            count += sum(len(values) for _, values in tags)
    return count


async def _read_new(run: Any, name: str, progress: dict[str, int]) -> AsyncIterator[metrics_api.ReadSeriesResponse]:
    """The values after those of `progress`, which whoever takes them keeps, whatever connections break."""
    failures = 0
    while True:
        try:
            for request in _requests(name, await _grown(run, name, progress), progress):
                async for response in run._read_series(request):
                    failures = 0
                    yield response
            return
        except ServiceException as error:
            failures += 1
            if error.status_code not in RESUMABLE or failures > MAX_FAILURES:
                raise
            await asyncio.sleep(backoff_seconds(failures))


async def _grown(run: Any, name: str, progress: dict[str, int]) -> list[str]:
    """The metrics that have values after those of `progress`."""
    connection = run._connection()
    request = metrics_api.ListSeriesRequest(parent=name, page_size=PAGE_SIZE)
    listed = pages(connection, connection.metrics.ListSeries, request)
    return [
        series.metric
        async for page in listed
        for series in page.series
        if series.count > progress.get(series.metric, 0) and series.kind != metrics_api.SERIES_KIND_ARTIFACTS
    ]


def _requests(name: str, metrics: Sequence[str], progress: dict[str, int]) -> Iterator[metrics_api.ReadSeriesRequest]:
    """Asks for metrics, those that are equally far together."""
    starts: dict[int, list[str]] = {}
    for metric in metrics:
        starts.setdefault(progress.get(metric, 0), []).append(metric)
    for start, together in starts.items():
        for first in range(0, len(together), METRICS_PER_READ):
            some = together[first : first + METRICS_PER_READ]
            yield metrics_api.ReadSeriesRequest(runs=[name], metrics=some, start_index=start)


def numbers_of(columns: metrics_api.SeriesColumns) -> Iterator[tuple[str, Any]]:
    """The columns of numbers in a message, each with the tag that it is shown as."""
    kind = columns.WhichOneof("values")
    if kind in NUMBERS:
        yield columns.metric, getattr(columns, str(kind)).values
    elif kind == "table":
        for column in columns.table.columns:
            cells = column.WhichOneof("cells")
            if cells in NUMBERS:
                yield f"{columns.metric}/{column.name}", getattr(column, str(cells)).values
