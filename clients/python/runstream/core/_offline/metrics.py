"""Metrics of an offline run."""

from collections.abc import Iterable, Mapping
from typing import Any

from runstream._spool.values import convert
from runstream.core._run.metrics import shape
from runstream.exceptions import AzureMLException

Rows = dict[str, list[Any]]


class OfflineMetrics:
    """Prints what is logged, and remembers it in the shape in which `get_metrics` returns it."""

    id: str

    def __init__(self) -> None:
        self._values: dict[str, list[Any]] = {}
        self._rows: dict[str, Rows] = {}
        self._artifacts: dict[str, str] = {}

    def log(self, name: str, value: object, description: str = "", step: int | None = None) -> None:
        """Prints one value."""
        converted = convert(value).value
        self._announce("scalar", name, value)
        self._values.setdefault(name, []).append(converted)

    def log_list(self, name: str, value: Iterable[object], description: str = "") -> None:
        """Prints values; an iterator is used up."""
        values = list(value)
        self._announce("list", name, values)
        self._values.setdefault(name, []).extend(convert(each).value for each in values)

    def log_row(self, name: str, description: str | None = None, **kwargs: object) -> None:
        """Prints one row: a value per column."""
        self._announce("row", name, kwargs)
        self._add_rows(name, {column: [value] for column, value in kwargs.items()}, 1)

    def log_table(self, name: str, value: Mapping[str, Any], description: str = "") -> None:
        """Prints a table: equally many values per column."""
        self._announce("table", name, value)
        columns = {column: _column(values) for column, values in value.items()}
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise AzureMLException(f"The columns of table {name} have different lengths.")
        self._add_rows(name, columns, *lengths)

    def log_image(self, name: str, path: str | None = None, plot: object = None, description: str = "") -> None:
        """Prints which image would be stored."""
        if (path is None) == (plot is None):
            raise AzureMLException("Invalid parameters: log_image takes either a path or a plot.")
        self._announce("image", name, plot if path is None else path)
        self._add_artifact(name, path or f"{name}.png")

    def log_confusion_matrix(self, name: str, value: object, description: str = "") -> None:
        """Prints a confusion matrix."""
        self._announce("confusion_matrix", name, value)
        self._add_artifact(name, name)

    def log_accuracy_table(self, name: str, value: object, description: str = "") -> None:
        """Prints an accuracy table."""
        self._announce("accuracy_table", name, value)
        self._add_artifact(name, name)

    def log_residuals(self, name: str, value: object, description: str = "") -> None:
        """Prints residuals."""
        self._announce("residual", name, value)
        self._add_artifact(name, name)

    def log_predictions(self, name: str, value: object, description: str = "") -> None:
        """Prints predictions."""
        self._announce("predictions", name, value)
        self._add_artifact(name, name)

    def _metrics(self, name: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {metric: shape(values) for metric, values in self._values.items()}
        for metric, rows in self._rows.items():
            found[metric] = {column: shape(values) for column, values in rows.items()}
        found.update(self._artifacts)
        return found if name is None else {metric: value for metric, value in found.items() if metric == name}

    def _announce(self, kind: str, name: str, value: object) -> None:
        print(f"Attempted to log {kind} metric {name}:\n{value}")  # noqa: T201

    def _add_rows(self, name: str, columns: Rows, count: int = 0) -> None:
        rows = self._rows.setdefault(name, {})
        before = max(map(len, rows.values()), default=0)
        for column in [*rows, *(column for column in columns if column not in rows)]:
            values = rows.setdefault(column, [None] * before)
            values.extend(columns.get(column, [None] * count))

    def _add_artifact(self, name: str, path: str) -> None:
        self._artifacts.setdefault(name, f"aml://artifactId/ExperimentRun/dcid.{self.id}/{path}")


def _column(values: Any) -> list[Any]:
    return [values] if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) else list(values)
