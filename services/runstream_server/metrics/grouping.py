"""Puts together what the appends of one transaction do to each series."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from runstream_server.metrics.model import Chunk, MetricAppend, Summary


@dataclass(slots=True)
class SeriesGrowth:
    """What one transaction appends to one series."""

    workspace: str
    run: str
    metric: str
    description: str
    summary: Summary
    chunks: list[Chunk] = field(default_factory=list)


def group_by_series(appends: Iterable[MetricAppend]) -> Sequence[SeriesGrowth]:
    """Puts together what is appended to each series, in the order of the appends; sorted by series."""
    growths: dict[tuple[str, str, str], SeriesGrowth] = {}
    for append in appends:
        for series in append.payload.series if append.payload else ():
            place = (append.key.workspace, append.key.run, series.metric)
            growth = growths.get(place)
            if growth is None:
                growths[place] = SeriesGrowth(*place, series.description, series.summary, list(series.chunks))
            else:
                growth.description = growth.description or series.description
                growth.summary = growth.summary.then(series.summary)
                growth.chunks.extend(series.chunks)
    return [growths[place] for place in sorted(growths)]
