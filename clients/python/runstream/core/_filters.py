"""Compiles the filters of the SDK to the filter language of the service (see `ListRunsRequest.filter`)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

Labels = str | Mapping[str, str | None] | None
"""A key that must exist, or keys with the values they must have, where None stands for a tag without a value."""


def quote(text: str) -> str:
    """`text` as a value of the filter language that stands for exactly this text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    return f'"{escaped}"'


def all_of(*terms: str) -> str:
    """A filter that admits what all of `terms` admit; empty ones say nothing."""
    return " AND ".join(term for term in terms if term)


def equals(field: str, value: str | None) -> str:
    """`field` has exactly this value; nothing is asked when the value is None or empty."""
    return f"{field} = {quote(value)}" if value else ""


def of_type(run_type: str | None) -> str:
    """The run is of this type, or its property `azureml.runsource` says so."""
    if not run_type:
        return ""
    source = equals('properties."azureml.runsource"', run_type)
    return f"({equals('run_type', run_type)} OR {source})"


def labelled(kind: str, labels: Labels) -> str:
    """The `tags` or `properties` are as asked.

    Raises:
        ValueError: `labels` is neither a text nor a dictionary.
    """
    if labels is None:
        return ""
    if isinstance(labels, str):
        return f"{kind}.{quote_key(labels)}:*"
    if isinstance(labels, Mapping):
        return all_of(*_pairs(kind, labels))
    raise ValueError(f"{kind} must be a string or a dictionary, not {type(labels).__name__}")


def quote_key(key: str) -> str:
    """`key` as part of a field name of the filter language."""
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def started(after: datetime | str | None, before: datetime | str | None) -> str:
    """The run started in this time, bounds excluded; a time without a zone is UTC."""
    first = f"start_time > {quote(to_time(after))}" if after else ""
    last = f"start_time < {quote(to_time(before))}" if before else ""
    return all_of(first, last)


def to_time(moment: datetime | str) -> str:
    """A moment as RFC 3339 text; text stays as it is."""
    if isinstance(moment, str):
        return moment
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _pairs(kind: str, labels: Mapping[str, str | None]) -> Iterator[str]:
    for key, value in labels.items():
        yield f"{kind}.{quote_key(str(key))} = {'null' if value is None else quote(str(value))}"
