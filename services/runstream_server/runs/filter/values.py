"""What the values in a filter mean to fields of each kind."""

import re
from datetime import UTC, datetime, timedelta

from runstream_server.errors import InvalidField
from runstream_server.names import ExperimentName, RunName
from runstream_server.runs.errors import InvalidFilter
from runstream_server.runs.filter.syntax import Term, Value
from runstream_server.runs.status import RunStatus

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_DURATION = re.compile(r"([+-]?\d{1,9}(?:\.\d{1,9})?)([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity)|nan", re.ASCII | re.IGNORECASE)


def wrong(problem: str, at: Term | Value) -> InvalidFilter:
    """The error for something in a filter."""
    return InvalidFilter(problem, at.place.line, at.place.column)


def time_of(value: Value, now: datetime) -> datetime:
    """A time: RFC 3339, or a duration from now."""
    text = value.text
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        if match := _DURATION.fullmatch(text):
            return now + timedelta(**{_UNITS[match[2]]: float(match[1])})
    except (ValueError, OverflowError):
        raise wrong(f"{text[:40]!r} is no time that exists", value) from None
    raise wrong(
        f"expected a time such as 2025-01-31T12:00:00Z, or a duration from now such as -24h; got {text[:40]!r}", value
    )


def whole_number_of(value: Value) -> int:
    """A whole number."""
    if not _WHOLE.fullmatch(value.text):
        raise wrong(f"expected a whole number; got {value.text[:40]!r}", value)
    return int(value.text)


def number_of(value: Value) -> float:
    """A number, an infinity or NaN."""
    if not _NUMBER.fullmatch(value.text):
        raise wrong(f"expected a number, inf, -inf or nan; got {value.text[:40]!r}", value)
    return float(value.text)


def flag_of(value: Value) -> bool:
    """True or false."""
    if value.text not in ("true", "false"):
        raise wrong(f"expected true or false; got {value.text[:40]!r}", value)
    return value.text == "true"


def status_of(value: Value) -> RunStatus:
    """A status by its name."""
    try:
        return RunStatus(value.text)
    except ValueError:
        names = ", ".join(RunStatus)
        raise wrong(f"{value.text[:40]!r} is no status; there are {names}", value) from None


def run_of(value: Value, workspace: str) -> str:
    """The identifier of a run, given by itself or in a resource name."""
    if not value.text.startswith("workspaces/"):
        return value.text
    try:
        name = RunName.parse(value.text)
    except InvalidField as error:
        raise wrong(error.violations[0].problem, value) from None
    if name.workspace != workspace:
        raise wrong(f"{name} is of another workspace", value)
    return name.run


def experiment_of(value: Value, workspace: str) -> str | None:
    """The identifier of an experiment given by resource name; None for a display name."""
    if not value.text.startswith("workspaces/"):
        return None
    try:
        name = ExperimentName.parse(value.text)
    except InvalidField as error:
        raise wrong(error.violations[0].problem, value) from None
    if name.workspace != workspace:
        raise wrong(f"{name} is of another workspace", value)
    return name.experiment


def like_pattern(value: Value) -> str:
    """The LIKE pattern of a value with wildcards: everything but them stands for itself."""
    return "%".join(re.sub(r"([\\%_])", r"\\\1", piece) for piece in value.pieces)
