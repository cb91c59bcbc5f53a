"""`run metrics`."""

import math
from collections.abc import Iterator, Sequence

import click

from runstream._channel import Connection
from runstream._cli import moments
from runstream._cli.commands import PlacedCommand
from runstream._cli.documents import Document, microseconds_text
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream._cli.tables import Column, listing
from runstream.api.metrics.v1 import metrics_service_pb2 as api
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest

PAGE_SIZE = 10_000

EPILOG = """\
\b
Examples:
  runstream run metrics -r RUN
  runstream run metrics -r RUN --name loss -o tsv
"""


@click.command(cls=PlacedCommand, epilog=EPILOG)
@run_option
@click.option("--name", "names", multiple=True, metavar="METRIC", help="Its values, in order. May be repeated.")
@pass_session
def metrics(session: Session, run: str, names: Sequence[str]) -> None:
    """Show the metrics of a run.

    With --name: the values of these metrics, in the order they were stored.
    """
    name = session.run_name(run)
    found = _values(session, name, names) if names else [_summary(series) for series in _series(session, name)]
    if not found:
        session.services.call(lambda c: c.runs.GetRun, GetRunRequest(name=name))
        session.say(f"Run {run} has no {'values of ' + ', '.join(names) if names else 'metrics'}.")
    session.show(found, VALUES if names else SUMMARIES)


def _series(session: Session, run: str) -> Iterator[api.Series]:
    request = api.ListSeriesRequest(parent=run, page_size=PAGE_SIZE)
    for page in session.services.pages(lambda c: c.metrics.ListSeries, request):
        yield from page.series


def _values(session: Session, run: str, names: Sequence[str]) -> list[Document]:
    request = api.ReadSeriesRequest(runs=[run], metrics=names)

    async def read(connection: Connection) -> list[Document]:
        stream = connection.stream(connection.metrics.ReadSeries, request)
        return [row async for response in stream for row in _rows(response.columns)]

    return session.services.run(read)


def _rows(columns: api.SeriesColumns) -> Iterator[Document]:
    for step, time, value in zip(columns.steps, columns.times, _cells(columns), strict=True):
        yield {"name": columns.metric, "step": step, "time_utc": microseconds_text(time), "value": value}


def _cells(columns: api.SeriesColumns) -> Sequence[object]:
    """The values: of a table a document for each row, of artifacts their paths."""
    kind = columns.WhichOneof("values")
    if kind == "artifacts":
        return columns.artifacts.paths
    if kind != "table":
        return _scalars(columns, kind)
    cells = {column.name: _scalars(column, column.WhichOneof("cells")) for column in columns.table.columns}
    return [{name: values[row] for name, values in cells.items()} for row in range(columns.table.row_count)]


def _scalars(message: api.SeriesColumns | api.TableColumn, kind: str | None) -> list[object]:
    if kind in (None, "nulls"):
        return [None] * message.nulls.count
    return [_number(value) for value in getattr(message, str(kind)).values]


def _summary(series: api.Series) -> Document:
    numbers = {field: getattr(series, field) if series.HasField(field) else None for field in ("last", "min", "max")}
    return {
        "name": series.metric,
        "count": series.count,
        **{field: _number(number) for field, number in numbers.items()},
        "description": series.description or None,
    }


def _number(value: object) -> object:
    """A value as JSON knows it: NaN and the infinities are the texts that protobuf's JSON has for them."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


SUMMARIES = listing(
    Column("Metric", lambda series: series["name"]),
    Column("Count", lambda series: series["count"], is_number=True),
    Column("Last", lambda series: _short(series["last"]), is_number=True),
    Column("Min", lambda series: _short(series["min"]), is_number=True),
    Column("Max", lambda series: _short(series["max"]), is_number=True),
    Column("Description", lambda series: series["description"], rank=1, can_be_cut=True),
)

VALUES = listing(
    Column("Metric", lambda value: value["name"]),
    Column("Step", lambda value: value["step"], is_number=True),
    Column("Value", lambda value: _short(value["value"]), is_number=True),
    Column("Time", lambda value: moments.local_time(value["time_utc"])),
)
