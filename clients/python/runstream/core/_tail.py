"""Follows series while they grow."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Self

from runstream._channel import Connection, loop
from runstream._channel.backoff import backoff_seconds
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics_api
from runstream.core._series import Series
from runstream.exceptions import ServiceException

RESUMABLE = frozenset({429, 503})


class SeriesTail:
    """An iterator over pieces of series, each as it becomes durable. It ends when every run has ended.

    A connection that breaks is opened again after what came so far; meanwhile it waits. Each piece is a `Series` whose
    `start_index` says how many values of the metric came before it.
    """

    def __init__(self, connect: Callable[[], Connection], request: metrics_api.TailSeriesRequest) -> None:
        """`request` says where it starts, by its cursor for example."""
        self._connect = connect
        self._request = request
        self._positions = {(place.run, place.metric): place.next_index for place in request.cursor}
        self._pieces: AsyncGenerator[Series, None] | None = None
        self._is_reached = False
        self._is_placed = False

    def __iter__(self) -> Iterator[Series]:
        return self

    def __next__(self) -> Series:
        if (piece := loop.run(self._next())) is None:
            raise StopIteration
        return piece

    def __aiter__(self) -> AsyncIterator[Series]:
        return self

    async def __anext__(self) -> Series:
        if (piece := await self._next()) is None:
            raise StopAsyncIteration
        return piece

    def close(self) -> None:
        """Ends it; leaving a `with` statement does so too."""
        loop.run(self.aclose())

    async def aclose(self) -> None:
        """As `close`, in asynchronous programs."""
        if self._pieces is not None:
            await self._pieces.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _next(self) -> Series | None:
        if self._pieces is None:
            self._pieces = self._follow()
        return await anext(self._pieces, None)

    async def _follow(self) -> AsyncGenerator[Series, None]:
        failures = 0
        while True:
            try:
                connection = self._connect()
                stream = connection.stream(connection.metrics.TailSeries, self._resumed())
                async for response in stream:
                    failures, self._is_reached = 0, True
                    if (piece := self._take(response)) is not None:
                        yield piece
                    if response.ended:
                        return
            except ServiceException as error:
                if error.status_code not in RESUMABLE or not self._is_reached:
                    raise
            await asyncio.sleep(backoff_seconds(failures))
            failures += 1

    def _resumed(self) -> metrics_api.TailSeriesRequest:
        """The request for what comes after all that came so far."""
        request = metrics_api.TailSeriesRequest()
        request.CopyFrom(self._request)
        request.ClearField("cursor")
        for (run, metric), index in self._positions.items():
            request.cursor.add(run=run, metric=metric, next_index=index)
        request.from_now = self._request.from_now and not self._is_placed
        return request

    def _take(self, response: metrics_api.TailSeriesResponse) -> Series | None:
        values, columns = response.values, response.values.columns
        count = len(columns.times)
        self._is_placed = self._is_placed or count > 0 or not values.run
        if values.run:
            self._positions[values.run, columns.metric] = values.start_index + count
        if not count:
            return None
        series = Series(columns.metric, values.run.rpartition("/runs/")[2])
        series._add(values.start_index, columns)
        return series
