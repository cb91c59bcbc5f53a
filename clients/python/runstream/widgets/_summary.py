"""What a widget shows, as plain text."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from runstream.widgets._picture import CHARTS, CHILD_RUNS, ENDED, FAILED, LINK, LOG_TAIL, RECORD, Section

LOG_LINES: Final = 10


def summary(sections: dict[str, Section]) -> str:
    """A run in a few lines: status, times, labels, metrics, children, the end of its log, its error."""
    record = sections[RECORD]
    parts = (
        _head(record),
        _labels("Tags", record["tags"]),
        _metrics(sections[CHARTS]),
        _children(sections[CHILD_RUNS]),
        _log(sections[LOG_TAIL]),
        _error(record),
        _link(sections[LINK]),
    )
    return "\n".join(line for part in parts for line in part)


def _head(record: Section) -> Iterator[str]:
    yield f"Run {record['id']}: {record['status']}"
    names = [record["name"], record["experiment"] and f"experiment {record['experiment']}", _times(record)]
    yield "  " + ", ".join(name for name in names if name)
    if record["url"]:
        yield f"  {record['url']}"


def _times(record: Section) -> str:
    if not record["started"]:
        return ""
    begun, end = record["started"] / 1000, record["ended"] / 1000
    started = f"started {datetime.fromtimestamp(begun).astimezone():%Y-%m-%d %H:%M:%S}"
    return f"{started}, took {timedelta(seconds=round(end - begun))}" if end else started


def _labels(title: str, labels: dict[str, Any]) -> Iterator[str]:
    if labels:
        yield f"{title}: " + ", ".join(key if value is None else f"{key}={value}" for key, value in labels.items())


def _metrics(charts: Section) -> Iterator[str]:
    curves = charts.get("curves", [])
    if not curves:
        return
    width = max(len(curve["name"]) for curve in curves)
    yield "Metrics:"
    for curve in curves:
        numbers = " ".join(f"{word} {_number(curve[key]):>12}" for word, key in NUMBERS)
        yield f"  {curve['name']:<{width}}  {numbers}  values {curve['count']}"
    if charts["more"]:
        yield "  and more"


NUMBERS: Final = (("last", "last"), ("min", "least"), ("max", "greatest"))


def _number(number: float | str) -> str:
    return number if isinstance(number, str) else f"{number:.6g}"


def _children(children: Section) -> Iterator[str]:
    if runs := children.get("runs", []):
        yield "Children:"
        for run in runs:
            metrics = "  ".join(f"{name} {_number(value)}" for name, value in run["metrics"].items())
            yield f"  {run['id']}  {run['status']}  {metrics}".rstrip()
        if children["more"]:
            yield "  and more"


def _log(log: Section) -> Iterator[str]:
    if lines := log.get("lines", [])[-LOG_LINES:]:
        yield f"The end of {log['path']}:"
        yield from (f"  {line}" for line in lines)


def _error(record: Section) -> Iterator[str]:
    if error := record["error"]:
        yield f"Error {error['code']}: {error['message']}"
        yield from (f"  {line}" for line in error["trace"].splitlines())


def _link(link: Section) -> Iterator[str]:
    if link.get("message") and link["state"] in (FAILED, ENDED):
        yield link["message"]
