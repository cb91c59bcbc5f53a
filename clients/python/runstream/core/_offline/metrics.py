"""Metrics of an offline run."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from time import time_ns
from typing import Any

from runstream._spool.artifacts import IMAGE
from runstream._spool.format import NULL, RECORD_HEAD_BYTES
from runstream._spool.kinds import check_name
from runstream._spool.records import list_record, value_record
from runstream._spool.rows import Table, convert_row, convert_table
from runstream._spool.tables import rows_record
from runstream._spool.values import Stretch, convert, convert_list, convert_step
from runstream._uplink.batches import BatchBuilder
from runstream.api.metrics.v1.metrics_service_pb2 import ArtifactValues, SeriesColumns
from runstream.core._artifact_metric import ArtifactMetric
from runstream.core._artifact_paths import artifact_path
from runstream.core._charts import (
    ACCURACY_TABLE_CHART,
    CONFUSION_MATRIX_CHART,
    PREDICTIONS_CHART,
    RESIDUALS_CHART,
    Chart,
    encode,
)
from runstream.core._images import draw, image_file, plot_path
from runstream.core._offline.remedy import offline_error
from runstream.core._run.metrics import shape_of
from runstream.core._series import ARTIFACTS, TABLE, VALUES, Series
from runstream.core._surface import dual_local
from runstream.exceptions import AzureMLException, UserErrorException

KINDS = {"table": TABLE, "artifacts": ARTIFACTS}

_logger = logging.getLogger("runstream")


class OfflineMetrics:
    """Prints what is logged, and remembers it as the services would."""

    id: str

    def __init__(self) -> None:
        self._logged: dict[str, Series] = {}
        self._contents: dict[str, bytes | Path] = {}

    def log(self, name: str, value: object, description: str = "", step: int | None = None) -> None:
        """Prints one value."""
        check_name(name)
        kind, stored, _ = convert(value)
        at = _step(step)
        self._announce("scalar", name, value)
        self._remember(name, [value_record(kind, 0, _now(), at, stored)])

    def log_metrics(self, metrics: Mapping[str, object], step: int | None = None) -> None:
        """Prints one value under each of several names."""
        for value in metrics.values():
            convert(value)
        for name, value in metrics.items():
            self.log(name, value, step=step)

    def log_list(self, name: str, value: Iterable[object], description: str = "") -> None:
        """Prints values; an iterator is used up."""
        check_name(name)
        values = list(value)
        stretches, _ = convert_list(values)
        self._announce("list", name, values)
        self._remember(name, [list_record(it.kind, 0, _now(), it.column) for it in stretches or [Stretch(NULL, 0)]])

    def log_row(self, name: str, description: str | None = None, **kwargs: object) -> None:
        """Prints one row: a value per column."""
        check_name(name)
        table = convert_row(kwargs)
        self._announce("row", name, kwargs)
        self._remember_rows(name, table)

    def log_table(self, name: str, value: Mapping[str, Any], description: str = "") -> None:
        """Prints a table: equally many values per column."""
        check_name(name)
        table = convert_table(value)
        self._announce("table", name, value)
        self._remember_rows(name, table)

    def log_image(
        self, name: str, path: str | os.PathLike[str] | None = None, plot: Any = None, description: str = ""
    ) -> None:
        """Prints which image would be stored."""
        if (path is None) == (plot is None):
            raise AzureMLException("Invalid parameters: log_image takes either a path or a plot.")
        check_name(name)
        content, target = (draw(plot), plot_path(name)) if path is None else image_file(path)
        self._announce("image", name, plot if path is None else path)
        self._remember_artifact(name, IMAGE, target, content)

    def log_confusion_matrix(self, name: str, value: object, description: str = "") -> None:
        """Prints a confusion matrix."""
        self._log_chart(CONFUSION_MATRIX_CHART, "confusion_matrix", name, value)

    def log_accuracy_table(self, name: str, value: object, description: str = "") -> None:
        """Prints an accuracy table."""
        self._log_chart(ACCURACY_TABLE_CHART, "accuracy_table", name, value)

    def log_residuals(self, name: str, value: object, description: str = "") -> None:
        """Prints residuals."""
        self._log_chart(RESIDUALS_CHART, "residual", name, value)

    def log_predictions(self, name: str, value: object, description: str = "") -> None:
        """Prints predictions."""
        self._log_chart(PREDICTIONS_CHART, "predictions", name, value)

    @dual_local
    def get_series(
        self,
        name: str,
        min_step: int | None = None,
        max_step: int | None = None,
        min_time: datetime | None = None,
        max_time: datetime | None = None,
        start_index: int = 0,
        end_index: int | None = None,
    ) -> Series:
        """What was logged under a name, with steps and times, as `Run.get_series` returns it without bounds."""
        if start_index or any(bound is not None for bound in (min_step, max_step, min_time, max_time, end_index)):
            raise offline_error("A part of a series")
        return self._logged.get(name) or Series(name, self.id)

    def tail_series(self, names: str | Sequence[str] | None = None, from_now: bool = False) -> Iterator[Series]:
        """An offline run has nothing to follow: raises RunEnvironmentException."""
        raise offline_error("Following metrics")

    def _metrics(self, name: str | None = None, populate: bool = False) -> dict[str, Any]:
        logged = self._logged if name is None else {name: self._logged[name]} if name in self._logged else {}
        return {metric: self._shape(series, populate) for metric, series in logged.items()}

    def _shape(self, series: Series, populate: bool) -> Any:
        gathered = series._gathered
        if not populate or gathered.kind != ARTIFACTS:
            return shape_of(self.id, gathered)
        content = self._contents[series.name]
        data = content.read_bytes() if isinstance(content, Path) else content
        return ArtifactMetric(self.id, gathered.paths[0], gathered.artifact_kind, data)

    def _announce(self, kind: str, name: str, value: object) -> None:
        print(f"Attempted to log {kind} metric {name}:\n{value}")  # noqa: T201

    def _log_chart(self, chart: Chart, kind: str, name: str, value: object) -> None:
        check_name(name)
        content = encode(chart, value)
        self._announce(kind, name, value)
        self._remember_artifact(name, chart.kind, artifact_path(name), content)

    def _remember_artifact(self, name: str, kind: int, path: str, content: bytes | Path) -> None:
        values = ArtifactValues(kind=kind, paths=[path])  # type: ignore[arg-type]
        self._add(SeriesColumns(metric=name, times=[_now()], artifacts=values))
        self._contents.setdefault(name, content)

    def _remember_rows(self, name: str, table: Table) -> None:
        self._remember(name, [rows_record(0, _now(), rows) for rows in table.pieces])

    def _remember(self, name: str, records: list[bytes]) -> None:
        builder = BatchBuilder({0: name})
        for record in records:
            builder.add(record[RECORD_HEAD_BYTES], record[RECORD_HEAD_BYTES:])
        for columns in builder.build(1, b"").series:
            self._add(columns)

    def _add(self, columns: SeriesColumns) -> None:
        series = self._logged.setdefault(columns.metric, Series(columns.metric, self.id))
        kind = KINDS.get(columns.WhichOneof("values") or "", VALUES)
        if series.kind not in ("", kind):
            _logger.warning("metric %r consists of %s, and would not take %s", series.name, series.kind, kind)
            return
        if not columns.steps:
            columns.steps.extend(range(len(series), len(series) + len(columns.times)))
        series._add(len(series), columns)


def _step(step: object) -> int | None:
    try:
        return convert_step(step)
    except UserErrorException:
        return None  # as a run does, which stores the value without it


def _now() -> int:
    return time_ns() // 1000
