"""Follows the numbers of a run."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from runstream._channel.pages import pages
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics_api
from runstream.core._lasting import lasting
from runstream.core._series import VALUES, Series
from runstream.core._tail import SeriesTail
from runstream.widgets._curve import MAX_POINTS, Curve
from runstream.widgets._picture import CHARTS, Picture, Section

MAX_CURVES: Final = 50
PAGE_SIZE: Final = 1000


class Charts:
    """The curves of the first 50 metrics of a run that have numbers.

    What is stored is read thinned by the services; what comes later is followed. A value that is in both stands twice
    at the same place, which nobody sees.
    """

    def __init__(self, run: Any, picture: Picture) -> None:
        self._run = run
        self._picture = picture
        self._name: str = run._record.name
        self._curves: dict[str, Curve] = {}
        self._positions: dict[str, int] = {}
        self._has_more = False
        self._is_loaded = False

    async def load(self) -> None:
        """Reads what is stored."""
        async for series in self._listed():
            self._positions[series.metric] = series.count
            if series.kind == metrics_api.SERIES_KIND_VALUES and series.HasField("last"):
                self._begin(series)
        await self._load_points()
        self._is_loaded = True
        self._picture.touch(CHARTS)

    async def follow(self) -> None:
        """Reads what is stored, and takes what comes until the run has ended. Begun again, it goes on from there."""
        if not self._is_loaded:
            await lasting(self.load)
        while not await lasting(self._tail):
            pass

    def section(self) -> Section:
        """What is shown."""
        return {
            "curves": [curve.section() for curve in self._curves.values() if not curve.is_empty],
            "more": self._has_more,
        }

    async def _listed(self) -> AsyncIterator[metrics_api.Series]:
        connection = self._run._connection()
        request = metrics_api.ListSeriesRequest(parent=self._name, page_size=PAGE_SIZE)
        async for page in pages(connection, connection.metrics.ListSeries, request):
            for series in page.series:
                yield series

    def _begin(self, series: metrics_api.Series) -> None:
        if (curve := self._curve(series.metric)) is not None:
            curve.count = series.count
            curve.summarize(series.last, _or_nan(series, "min"), _or_nan(series, "max"))

    def _curve(self, metric: str) -> Curve | None:
        """The curve of a metric; None: there are enough."""
        if metric not in self._curves and len(self._curves) >= MAX_CURVES:
            self._has_more = True
            return None
        return self._curves.setdefault(metric, Curve(metric))

    async def _load_points(self) -> None:
        if not self._curves:
            return
        connection = self._run._connection()
        request = metrics_api.CompareSeriesRequest(runs=[self._name], metrics=list(self._curves), max_points=MAX_POINTS)
        async with aclosing(connection.stream(connection.metrics.CompareSeries, request)) as responses:
            async for response in responses:
                points = zip(response.places, response.values, strict=True)
                self._curves[response.metric].load(points)

    async def _tail(self) -> bool:
        """Follows until the run has ended, which is true, or until enough metrics are known to ask for them alone."""
        is_narrow = self._has_more
        request = metrics_api.TailSeriesRequest(runs=[self._name], metrics=self._curves if is_narrow else ())
        for metric, index in self._positions.items():
            if not is_narrow or metric in self._curves:
                request.cursor.add(run=self._name, metric=metric, next_index=index)
        async with SeriesTail(self._run._connection, request) as tail:
            async for piece in tail:
                self._take(piece)
                if self._has_more and not is_narrow:
                    return False
        return True

    def _take(self, piece: Series) -> None:
        self._positions[piece.name] = piece.start_index + len(piece)
        curve = self._curve(piece.name) if piece.kind == VALUES else None
        if curve is not None:
            curve.add(piece.start_index, map(int, piece.steps), piece._gathered.scalars.values())
        self._picture.touch(CHARTS)


def _or_nan(series: metrics_api.Series, field: Any) -> float:
    return float(getattr(series, field)) if series.HasField(field) else float("nan")
