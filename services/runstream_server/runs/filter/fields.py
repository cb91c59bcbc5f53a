"""What each kind of field makes of a comparison: SQL over columns of an allow-list, every value a parameter.

A comparison with something absent is NULL or false; both admit nothing, and NOT turns both into true.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from runstream_server.runs.filter.syntax import Term
from runstream_server.runs.filter.values import (
    experiment_of,
    flag_of,
    like_pattern,
    number_of,
    run_of,
    status_of,
    time_of,
    whole_number_of,
    wrong,
)

_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_EQUALITY = ("=", "!=")
STATISTICS = ("last", "min", "max", "count")


class Parameters:
    """Collects the values of a statement."""

    def __init__(self, *values: object) -> None:
        self.values: list[object] = list(values)

    def add(self, value: object, sql_type: str) -> str:
        """Adds a value; returns what stands for it in the statement."""
        self.values.append(value)
        return f"${len(self.values)}::{sql_type}"


class MetricColumns(Protocol):
    """Finds a column of a metric's summary for the run at hand."""

    def __call__(self, metric: str, column: str, parameters: Parameters) -> str:
        """The SQL of the column, NULL for a run without the metric."""
        ...


@dataclass(frozen=True)
class Scope:
    """What a filter is compiled in. `$1` is the workspace."""

    workspace: str
    now: datetime
    parameters: Parameters
    metric_column: MetricColumns
    experiments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Identifiers by display name, of each display name the filter compares with."""

    experiment_column: str = "r.experiment"
    """Where the experiment of the run at hand is found."""


class Field(ABC):
    """A field of the filter language."""

    @abstractmethod
    def compare(self, term: Term, scope: Scope) -> str:
        """The condition of a term about this field."""

    def is_absent(self, term: Term, scope: Scope) -> str:
        """The condition of `NOT FIELD:*`. Plain where an index can serve it."""
        return f"({self.compare(term, scope)}) IS NOT TRUE"

    def order(self, path: Sequence[str], scope: Scope) -> str | None:
        """What rows are ordered by; None if they cannot be by this field."""
        return None


@dataclass(frozen=True)
class Column(Field, ABC):
    """A field that is one column."""

    column: str
    sql_type: str
    operators: Sequence[str] = _COMPARISONS

    def compare(self, term: Term, scope: Scope) -> str:
        _no_path(term)
        if _is_presence(term):
            return self.present()
        _allow(term, (*self.operators, ":") if isinstance(self, TextColumn) else self.operators)
        return self.compiled(term, scope)

    def compiled(self, term: Term, scope: Scope) -> str:
        """The condition of a term with a value and an operator that is allowed."""
        return _binary(self.column, term.operator, scope.parameters.add(self.value(term, scope), self.sql_type))

    @abstractmethod
    def value(self, term: Term, scope: Scope) -> object:
        """What the column is compared with."""

    def present(self) -> str:
        """The condition of `FIELD:*`."""
        return f"{self.column} IS NOT NULL"

    def is_absent(self, term: Term, scope: Scope) -> str:
        _no_path(term)
        return f"{self.column} IS NULL"

    def order(self, path: Sequence[str], scope: Scope) -> str | None:
        return self.column if len(path) == 1 else None


class TextColumn(Column):
    """A text; the empty one counts as absent."""

    def __init__(self, column: str) -> None:
        super().__init__(column, "text")

    def compiled(self, term: Term, scope: Scope) -> str:
        return _compared_text(self.column, term, self.value(term, scope), scope.parameters)

    def value(self, term: Term, scope: Scope) -> str:
        return term.value.text

    def present(self) -> str:
        return f"{self.column} <> ''"

    def is_absent(self, term: Term, scope: Scope) -> str:
        _no_path(term)
        return f"{self.column} = ''"

    def order(self, path: Sequence[str], scope: Scope) -> str | None:
        return f"nullif({self.column}, '')" if len(path) == 1 else None


class RunColumn(TextColumn):
    """The identifier of a run, which is absent where it is NULL."""

    def value(self, term: Term, scope: Scope) -> str:
        return run_of(term.value, scope.workspace)

    present, is_absent, order = Column.present, Column.is_absent, Column.order


class TimeColumn(Column):
    """A time."""

    def __init__(self, column: str) -> None:
        super().__init__(column, "timestamptz")

    def value(self, term: Term, scope: Scope) -> datetime:
        return time_of(term.value, scope.now)


class WholeNumberColumn(Column):
    """A whole number."""

    def __init__(self, column: str) -> None:
        super().__init__(column, "int8")

    def value(self, term: Term, scope: Scope) -> int:
        return whole_number_of(term.value)


class StatusColumn(Column):
    """A status."""

    def __init__(self, column: str) -> None:
        super().__init__(column, "text", _EQUALITY)

    def value(self, term: Term, scope: Scope) -> str:
        return status_of(term.value)


class FlagColumn(Column):
    """True or false; no order."""

    def __init__(self, column: str) -> None:
        super().__init__(column, "bool", _EQUALITY)

    def value(self, term: Term, scope: Scope) -> bool:
        return flag_of(term.value)

    def order(self, path: Sequence[str], scope: Scope) -> str | None:
        return None


class ExperimentField(Field):
    """The experiment of a run, by display name or resource name."""

    def compare(self, term: Term, scope: Scope) -> str:
        _no_path(term)
        if _is_presence(term):
            return "true"
        _allow(term, (*_EQUALITY, ":"))
        if term.operator == ":" or term.value.has_wildcard:
            return self._called(term, scope)
        identifier = experiment_of(term.value, scope.workspace)
        found = scope.experiments.get(term.value.text, ()) if identifier is None else [identifier]
        same = self._one_of(found, scope)
        return same if term.operator == "=" else f"NOT {same}"

    def _called(self, term: Term, scope: Scope) -> str:
        called = _compared_text("e.display_name", term, term.value.text, scope.parameters)
        named = f"SELECT e.experiment FROM runs.experiment e WHERE e.workspace = $1 AND {called}"
        return f"{scope.experiment_column} IN ({named})"

    def _one_of(self, identifiers: Sequence[str], scope: Scope) -> str:
        if len(identifiers) == 1:
            return f"({scope.experiment_column} = {scope.parameters.add(identifiers[0], 'text')})"
        return f"({scope.experiment_column} = ANY({scope.parameters.add(list(identifiers), 'text[]')}))"


@dataclass(frozen=True)
class TreeColumn(Field):
    """Descent from a run, found by walking down from it: `ancestor` without the run itself, `root` with it."""

    includes_itself: bool

    def compare(self, term: Term, scope: Scope) -> str:
        _no_path(term)
        if _is_presence(term):
            return "r.parent IS NOT NULL" if not self.includes_itself else "true"
        _allow(term, _EQUALITY)
        run = scope.parameters.add(run_of(term.value, scope.workspace), "text")
        condition = f"r.run = ANY(ARRAY({self._walk(run)}))"
        return condition if term.operator == "=" else f"({condition}) IS NOT TRUE"

    def is_absent(self, term: Term, scope: Scope) -> str:
        _no_path(term)
        return "r.parent IS NULL" if not self.includes_itself else "false"

    def _walk(self, run: str) -> str:
        start = (
            f"SELECT t.run FROM runs.run t WHERE t.workspace = $1 AND t.run = {run} AND t.parent IS NULL"
            if self.includes_itself
            else f"SELECT t.run FROM runs.run t WHERE t.workspace = $1 AND t.parent = {run}"
        )
        return (
            f"WITH RECURSIVE tree AS ({start} UNION ALL SELECT t.run FROM tree"
            " JOIN runs.run t ON t.workspace = $1 AND t.parent = tree.run) SELECT run FROM tree"
        )

    def order(self, path: Sequence[str], scope: Scope) -> str | None:
        return "r.root" if self.includes_itself and len(path) == 1 else None


@dataclass(frozen=True)
class LabelsColumn(Field):
    """Tags or properties: a map from key to text. A tag without a value is `null`."""

    column: str

    def compare(self, term: Term, scope: Scope) -> str:
        match term.path:
            case [_]:
                _allow(term, (":",))
                return f"{self.column} <> '{{}}'" if term.value.is_any else self._has(term.value.text, scope)
            case [_, key]:
                return self._compared(key, term, scope)
        name = term.path[0]
        raise wrong(f'a key with a dot stands in quotes: {name}."{".".join(term.path[1:])}"', term)

    def _has(self, key: str, scope: Scope) -> str:
        return f"({self.column} <> '{{}}' AND {self.column} ? {scope.parameters.add(key, 'text')})"

    def _compared(self, key: str, term: Term, scope: Scope) -> str:
        if _is_presence(term):
            return self._has(key, scope)
        _allow(term, (*_COMPARISONS, ":"))
        if term.operator in _EQUALITY and not term.value.has_wildcard:
            is_mark = term.value.text == "null" and not term.value.quoted
            wanted = scope.parameters.add({key: None if is_mark else term.value.text}, "jsonb")
            same = f"({self.column} <> '{{}}' AND {self.column} @> {wanted})"
            return same if term.operator == "=" else f"NOT {same}"
        text = f"({self.column} ->> {scope.parameters.add(key, 'text')})"
        return _compared_text(f'{text} COLLATE "C"', term, term.value.text, scope.parameters)

    def order(self, path: Sequence[str], scope: Scope) -> str | None:
        if len(path) != 2:
            return None
        return f'(({self.column} ->> {scope.parameters.add(path[1], "text")}) COLLATE "C")'


class MetricsField(Field):
    """A statistic of a metric. NaN equals itself, and is neither less nor greater than anything."""

    def compare(self, term: Term, scope: Scope) -> str:
        match term.path:
            case [_]:
                _allow(term, (":",))
                return self._known(term.value.text, scope)
            case [_, metric] if _is_presence(term):
                return self._known(metric, scope)
            case [_, metric, column] if column in STATISTICS:
                return self._compared(metric, column, term, scope)
        raise wrong(
            f"expected metrics.NAME and one of .{', .'.join(STATISTICS)};"
            " a name with other characters than letters, digits and _ stands in quotes",
            term,
        )

    def _known(self, metric: str, scope: Scope) -> str:
        return f"({scope.metric_column(metric, 'count', scope.parameters)} IS NOT NULL)"

    def _compared(self, metric: str, column: str, term: Term, scope: Scope) -> str:
        if _is_presence(term):
            raw = "raw_last" if column == "last" else column
            return f"({scope.metric_column(metric, raw, scope.parameters)} IS NOT NULL)"
        _allow(term, _COMPARISONS)
        number = number_of(term.value)
        if math.isnan(number):
            _allow(term, _EQUALITY)
            column = "raw_last" if column == "last" else column
        value = scope.metric_column(metric, column, scope.parameters)
        return _binary(value, term.operator, scope.parameters.add(number, "float8"))

    def order(self, path: Sequence[str], scope: Scope) -> str | None:
        if len(path) != 3 or path[2] not in STATISTICS:
            return None
        return scope.metric_column(path[1], path[2], scope.parameters)


def _binary(left: str, operator: str, right: str) -> str:
    if operator == "!=":
        return f"({left} = {right}) IS NOT TRUE"
    return f"({left} {operator} {right})"


def _compared_text(column: str, term: Term, text: str, parameters: Parameters) -> str:
    if term.operator == ":":
        return f"(strpos({column}, {parameters.add(text, 'text')}) > 0)"
    if term.operator in _EQUALITY and term.value.has_wildcard:
        like = f"({column} LIKE {parameters.add(like_pattern(term.value), 'text')})"
        return like if term.operator == "=" else f"{like} IS NOT TRUE"
    return _binary(column, term.operator, parameters.add(text, "text"))


def _is_presence(term: Term) -> bool:
    return term.operator == ":" and term.value.is_any


def _no_path(term: Term) -> None:
    if len(term.path) > 1:
        raise wrong(f"{term.path[0]} has no parts", term)


def _allow(term: Term, operators: Sequence[str]) -> None:
    if term.operator not in operators:
        name = ".".join(term.path)
        raise wrong(f"{name[:80]} takes {' '.join(operators)} and :*; not {term.operator}", term)
