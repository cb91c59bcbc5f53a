"""Builds the statements of listings.

Every order ends in newest first and run identifier, so a place in it is a few values. Runs without the field that a
listing is ordered by come last. A listing by a metric has two parts: the runs that have it, read along an index of the
summaries, then those that do not, newest first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from runstream_server.runs.filter import (
    RUN_FIELDS,
    Node,
    Order,
    Parameters,
    Scope,
    compile_filter,
    order_column,
    speaks_of,
)
from runstream_server.runs.store.columns import RUN

NEWEST_FIRST = Order(["create_time"], descending=True)

_SUMMARY_COLUMNS = {
    "last": "nullif({0}.last, 'NaN')",
    "raw_last": "{0}.last",
    "min": "{0}.min",
    "max": "{0}.max",
    "count": "{0}.count",
}
_SQL_TYPES = {datetime: "timestamptz", int: "int8", float: "float8", str: "text"}


@dataclass(frozen=True)
class Listing:
    """Which runs are listed, in which order."""

    workspace: str
    node: Node | None
    order: Order
    show_deleted: bool
    now: datetime
    """What durations in the filter count from."""

    experiments: Mapping[str, Sequence[str]]
    """Identifiers by each display name of an experiment that the filter compares with."""

    @property
    def metric(self) -> str | None:
        """The metric that the listing is ordered by, if it is ordered by one."""
        return self.order.path[1] if self.order.path[0] == "metrics" and len(self.order.path) > 1 else None


@dataclass(frozen=True)
class Place:
    """A place in a listing: that of a run."""

    without_metric: bool
    """Whether it is in the second part of a listing by a metric."""

    value: datetime | float | str | None
    """The value of the field that the listing is ordered by."""

    create_time: datetime
    run: str


@dataclass(frozen=True)
class _Walk:
    source: str
    column: str
    conditions: Sequence[str]
    order: str


def statement(
    listing: Listing, after: Place | None, limit: int, *, without_metric: bool = False
) -> tuple[str, Sequence[object]]:
    """The statement of the runs behind a place, and its arguments. Each row is a run and its `order_value`."""
    parameters = Parameters(listing.workspace)
    scope = Scope(
        listing.workspace,
        listing.now,
        parameters,
        _MetricColumns(listing, without_metric),
        listing.experiments,
        "r.experiment" if listing.metric is None or without_metric else "o.experiment",
    )
    walk = _walk(listing, scope, after, without_metric)
    conditions = [
        "r.workspace = $1",
        "true" if listing.show_deleted else "r.delete_time IS NULL",
        "true" if speaks_of(listing.node, "hidden") else "NOT r.hidden",
        *walk.conditions,
        compile_filter(listing.node, RUN_FIELDS, scope),
    ]
    text = f"""
        SELECT {RUN}, {walk.column} AS order_value
          FROM {walk.source}
         WHERE {" AND ".join(conditions)}
         ORDER BY {walk.order}
         LIMIT {parameters.add(limit, "int8")}
        """
    return text, parameters.values


@dataclass(frozen=True)
class _MetricColumns:
    """Finds columns of summaries: in the row a listing by metric is at, else by the key of the summaries."""

    listing: Listing
    without_metric: bool

    def __call__(self, metric: str, column: str, parameters: Parameters) -> str:
        is_walked = metric == self.listing.metric
        if is_walked and not self.without_metric:
            return _SUMMARY_COLUMNS[column].format("o")
        if is_walked and column == self.listing.order.path[2]:
            return "NULL::float8"  # nothing can hold for it, and Postgres need not look
        return summary_column(metric, column, parameters)


def summary_column(metric: str, column: str, parameters: Parameters) -> str:
    """The SQL of a column of a summary of run `r`, found by its key whatever else the statement does."""
    return (
        f"(SELECT {_SUMMARY_COLUMNS[column].format('m')} FROM runs.metric_summary m"
        f" WHERE m.workspace = r.workspace AND m.run = r.run AND m.metric = {parameters.add(metric, 'text')})"
    )


def _walk(listing: Listing, scope: Scope, after: Place | None, without_metric: bool) -> _Walk:
    parameters = scope.parameters
    column = order_column(listing.order, RUN_FIELDS, scope)
    if without_metric:
        metric, statistic = listing.order.path[1:]
        is_absent = f"{summary_column(metric, statistic, parameters)} IS NULL"
        return _by_time("NULL::float8", [is_absent], after, parameters, descending=True)
    if column == "r.create_time":
        return _by_time(column, [], after, parameters, descending=listing.order.descending)
    if listing.metric is not None:
        return _by_metric(column, listing.metric, after, parameters, descending=listing.order.descending)
    return _by_column(column, after, parameters, descending=listing.order.descending)


def _by_time(
    column: str, conditions: Sequence[str], after: Place | None, parameters: Parameters, *, descending: bool
) -> _Walk:
    direction = "DESC" if descending else "ASC"
    behind = []
    if after:
        behind = [f"(r.create_time, r.run) {'<' if descending else '>'} {_tie(after, parameters)}"]
    return _Walk("runs.run r", column, [*conditions, *behind], f"r.create_time {direction}, r.run {direction}")


def _by_column(column: str, after: Place | None, parameters: Parameters, *, descending: bool) -> _Walk:
    behind = []
    if after:
        tie = f"(r.create_time, r.run) < {_tie(after, parameters)}"
        if after.value is None:
            behind = [f"{column} IS NULL AND {tie}"]
        else:
            value = parameters.add(after.value, _SQL_TYPES[type(after.value)])
            further = f"{column} {'<' if descending else '>'} {value}"
            behind = [f"({further} OR {column} IS NULL OR ({column} = {value} AND {tie}))"]
    direction = "DESC" if descending else "ASC"
    return _Walk("runs.run r", column, behind, f"{column} {direction} NULLS LAST, r.create_time DESC, r.run DESC")


def _by_metric(column: str, metric: str, after: Place | None, parameters: Parameters, *, descending: bool) -> _Walk:
    source = "runs.metric_summary o JOIN runs.run r ON r.workspace = o.workspace AND r.run = o.run"
    conditions = ["o.workspace = $1", f"o.metric = {parameters.add(metric, 'text')}", f"{column} IS NOT NULL"]
    operator, direction = ("<", "DESC") if descending else (">", "ASC")
    if after:
        value = parameters.add(after.value, "float8")
        tie = f"(o.create_time, o.run) < {_tie(after, parameters)}"
        conditions.append(f"{column} {operator}= {value} AND ({column} {operator} {value} OR {tie})")
    return _Walk(source, column, conditions, f"{column} {direction}, o.create_time DESC, o.run DESC")


def _tie(after: Place, parameters: Parameters) -> str:
    return f"({parameters.add(after.create_time, 'timestamptz')}, {parameters.add(after.run, 'text')})"
