"""Series of a run: read with steps and times, or followed while they grow."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics_api
from runstream.core._forms import E, R, W
from runstream.core._run.metrics import MetricCalls
from runstream.core._series import Series
from runstream.core._surface import dual
from runstream.core._tail import SeriesTail
from runstream.exceptions import UserErrorException

MICROSECONDS = 1_000_000


class SeriesCalls(MetricCalls[W, E, R], Generic[W, E, R]):
    """Reads and follows series."""

    @dual
    async def get_series(
        self,
        name: str,
        min_step: int | None = None,
        max_step: int | None = None,
        min_time: datetime | None = None,
        max_time: datetime | None = None,
        start_index: int = 0,
        end_index: int | None = None,
    ) -> Series:
        """Reads one metric with steps and times, every value as it was logged.

            series = run.get_series("loss")
            series.steps, series.values
            run.get_series("loss", min_step=1000, max_step=1999).to_pandas()

        Bounds of steps and times are inclusive; a time without a zone is local. Indexes count the values in the order
        they were stored, from 0, `end_index` excluded. A metric that the run does not have is a series of length 0.
        What this process has logged to the run is stored first.
        """
        await self._store_logged()
        if end_index is not None and end_index <= start_index:
            raise UserErrorException(
                f"end_index has to be greater than start_index; got {start_index} and {end_index}."
            )
        request = metrics_api.ReadSeriesRequest(
            runs=[self._record.name], metrics=[name], start_index=start_index, end_index=end_index or 0
        )
        for field, bound in (("min_step", min_step), ("max_step", max_step)):
            _set(request, field, bound, int)
        for field, time in (("min_time", min_time), ("max_time", max_time)):
            _set(request, field, time, _microseconds)
        series = Series(name, self.id)
        async for response in self._read_series(request):
            series._add(response.start_index, response.columns)
        return series

    def tail_series(self, names: str | Sequence[str] | None = None, from_now: bool = False) -> SeriesTail:
        """Follows metrics while they are logged: an iterator over pieces of series that ends when the run has ended.

            for piece in run.tail_series("loss"):
                print(piece.name, piece.steps, piece.values)

        `names` is one metric, several, or None for all, also those that come later. It begins with the first value, or
        with `from_now` after those that are stored now. Values of one metric come in order, each once, whatever
        connections break meanwhile. In asynchronous programs it is used by `async for`.
        """
        metrics = [names] if isinstance(names, str) else list(names or ())
        request = metrics_api.TailSeriesRequest(runs=[self._record.name], metrics=metrics, from_now=from_now)
        return SeriesTail(self._connection, request)


def _set(request: metrics_api.ReadSeriesRequest, field: str, value: Any, convert: Callable[[Any], int]) -> None:
    if value is None:
        return
    try:
        setattr(request, field, convert(value))
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserErrorException(f"{field} cannot be {value!r}.", error) from None


def _microseconds(time: datetime) -> int:
    return round(time.astimezone(UTC).timestamp() * MICROSECONDS)
