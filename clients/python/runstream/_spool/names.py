"""What one writer knows of its metrics: which there are, and of what kind."""

from collections.abc import Collection
from typing import Final

from runstream._spool.tables import MAX_COLUMNS, Rows

MAX_METRIC_CHARACTERS: Final = 255
MAX_METRICS: Final = 100_000
"""Names that one writer remembers."""


class Refused(Exception):
    """Values that no service would store."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MetricNames:
    """The metrics of one writer, each of one kind."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        """The ids of those that consist of values."""
        self.rows: dict[str, int] = {}
        """The ids of those that consist of rows."""
        self.artifacts: set[str] = set()
        """Those that consist of files, which need no ids."""
        self._columns: set[str] = set()

    def check_new(self, metric: str) -> bytes:
        """Sees that a name can be stored and means nothing else yet; as it is stored.

        Raises:
            Refused: It cannot, or does.
        """
        text = _checked(metric)
        for kind, known in self._known():
            if metric in known:
                raise Refused("MIXED_KINDS", f"it consists of {kind}, and a metric has one kind; use another name")
        if sum(len(known) for _, known in self._known()) >= MAX_METRICS:
            raise Refused("TOO_MANY_SERIES", f"one process can log {MAX_METRICS:,} metrics to a run")
        return text

    def check_columns(self, rows: Rows) -> None:
        """Sees that the columns of rows can be stored.

        Raises:
            Refused: They cannot.
        """
        if len(rows.columns) > MAX_COLUMNS:
            raise Refused("TOO_MANY_COLUMNS", f"a table has {MAX_COLUMNS} columns at most, not {len(rows.columns)}")
        for cells in rows.columns:
            if cells.name not in self._columns:
                _checked(cells.name, "the name of a column")
                if len(self._columns) < MAX_METRICS:
                    self._columns.add(cells.name)

    def _known(self) -> tuple[tuple[str, Collection[str]], ...]:
        return ("values", self.values), ("rows", self.rows), ("artifacts", self.artifacts)


def _checked(name: str, what: str = "a name") -> bytes:
    try:
        text = name.encode()
    except UnicodeEncodeError:
        raise Refused("INVALID_NAME", f"{what} is not valid Unicode") from None
    if not 0 < len(name) <= MAX_METRIC_CHARACTERS or "\0" in name:
        raise Refused("INVALID_NAME", f"{what} has 1 to {MAX_METRIC_CHARACTERS} characters, none of which is NUL")
    return text
