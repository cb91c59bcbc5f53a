"""Which columns cannot be stored, and why. A column is refused by itself and holds up nothing."""

from collections.abc import Sequence
from typing import TypeAlias

from runstream_server.appendstreams import Refusal
from runstream_server.metrics.limits import (
    MAX_COLUMNS,
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_PATH,
    MAX_TEXT,
)
from runstream_server.metrics.model import Kind, Points
from runstream_server.metrics.tables import Artifacts, Table

Problem: TypeAlias = tuple[str, str]
"""The reason and the message of a refusal."""

_ARTIFACT_KINDS = range(1, 6)
_MAY_BE_EMPTY = (Kind.NULL, Kind.TABLE)


def find_problem(metric: str, description: str, points: Points) -> Problem | None:
    """Why columns cannot be stored; None when they are fine."""
    if not _is_name(metric):
        return "INVALID_NAME", f"a metric has a name of 1 to {MAX_NAME} characters without NUL"
    if len(description) > MAX_DESCRIPTION:
        return "TEXT_TOO_LONG", f"a description has up to {MAX_DESCRIPTION} characters; got {len(description)}"
    if "\0" in description:
        return "INVALID_TEXT", "a description has no NUL character"
    return _problem_of_columns(points) or _problem_of_values(points)


def is_sound_curve(metric: str, points: Points) -> bool:
    """Whether `find_problem` finds none in numbers with steps and without a description; told in less time."""
    steps = 0 if points.steps is None else len(points.steps)
    return 0 < steps == len(points.times) == points.segments[0].count and _is_name(metric)


def _is_name(name: str) -> bool:
    return 1 <= len(name) <= MAX_NAME and "\0" not in name


def _problem_of_columns(points: Points) -> Problem | None:
    if not points.segments or (points.count == 0 and points.segments[0].kind not in _MAY_BE_EMPTY):
        return "NO_VALUES", "there are no values; a series that is to exist and be empty has nulls with a count of 0"
    values = points.segments[0].count
    steps = points.count if points.steps is None else len(points.steps)
    if not values == points.count == steps:
        return (
            "UNEQUAL_COLUMNS",
            f"{values} values have {points.count} times and {steps} steps; each needs a time, all have steps or none",
        )
    return None


def _problem_of_values(points: Points) -> Problem | None:
    segment = points.segments[0]
    match segment.kind:
        case Kind.STRING:
            return _problem_of_texts(segment.strings)
        case Kind.TABLE:
            return _problem_of_table(segment.table)
        case Kind.ARTIFACTS:
            return _problem_of_artifacts(segment.artifacts)
        case _:
            return None


def _problem_of_texts(texts: Sequence[str]) -> Problem | None:
    longest = max(map(len, texts), default=0)
    if longest > MAX_TEXT:
        return "TEXT_TOO_LONG", f"a text has up to {MAX_TEXT} characters; got {longest}"
    return None


def _problem_of_table(table: Table) -> Problem | None:
    if len(table.columns) > MAX_COLUMNS:
        return too_many_columns(len(table.columns))
    names = table.names
    if not all(map(_is_name, names)):
        return "INVALID_NAME", f"a column has a name of 1 to {MAX_NAME} characters without NUL"
    if len(set(names)) < len(names):
        return "INVALID_NAME", "each column of a table has its own name"
    for column in table.columns:
        if column.cells.count != table.row_count:
            return (
                "UNEQUAL_COLUMNS",
                f"column {column.name!r} has {column.cells.count} cells; the table has {table.row_count} rows",
            )
        if column.cells.kind is Kind.STRING and (problem := _problem_of_texts(column.cells.strings)):
            return problem
    return None


def _problem_of_artifacts(artifacts: Artifacts) -> Problem | None:
    if artifacts.artifact_kind not in _ARTIFACT_KINDS:
        return "UNSTORABLE", f"this service knows no kind {artifacts.artifact_kind} of artifacts; name one it knows"
    for path in artifacts.paths:
        if len(path) > MAX_PATH:
            return "TEXT_TOO_LONG", f"the path of an artifact has up to {MAX_PATH} characters; got {len(path)}"
        if not path or "\0" in path:
            return "INVALID_TEXT", "the path of an artifact has at least one character and no NUL"
    return None


def too_many_columns(count: int) -> Problem:
    """The problem of a table that has, or would have, `count` columns."""
    return "TOO_MANY_COLUMNS", f"a table has up to {MAX_COLUMNS} columns; got {count}; log the others as another metric"


def refusal(sequence: int, metric: str, problem: Problem, count: int) -> Refusal:
    """Says that `count` values of a series are not stored."""
    reason, message = problem
    return Refusal(sequence, metric[:MAX_NAME], reason, message, count)
