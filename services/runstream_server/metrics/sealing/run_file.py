"""Writes the Parquet object of a run, piece by piece."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from runstream_server.metrics.encoding import join_points
from runstream_server.metrics.model import Points, Series
from runstream_server.metrics.overview_format import chunk_overview
from runstream_server.metrics.sealing.arrow_tables import Part, to_table
from runstream_server.metrics.sealing.model import SealedChunk
from runstream_server.metrics.sealing.parquet_format import open_writer

_LARGE_SERIES = 16_384
_SHARED_GROUP_POINTS = 32_768
_GROUP_POINTS = 131_072
_SHARED_GROUP_BYTES = 4 * 1024 * 1024
_GROUP_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class _Waiting:
    series: Series
    start_index: int
    points: Points


class _Sink(io.RawIOBase):
    """Keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0
        self.waiting_bytes = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        self._position += len(part)
        self.waiting_bytes += len(part)
        return len(part)

    def take(self) -> bytes:
        """Hands out what was written since the last call."""
        taken = b"".join(self._parts)
        self._parts, self.waiting_bytes = [], 0
        return taken


class RunFile:
    """Takes the points of series, in order of name and index, and makes row groups of them.

    Series with 16,384 points or more have row groups of their own, up to about 131,072 points each; others share some.
    Not for the event loop; one thread at a time.
    """

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer = open_writer(self._sink)
        self._waiting: list[_Waiting] = []
        self._count = self._size = self._groups = 0
        self._chunks: list[SealedChunk] = []
        self.size_bytes = 0

    @property
    def ready_bytes(self) -> int:
        """How many bytes `take_bytes` would hand out."""
        return self._sink.waiting_bytes

    def add(self, series: Series, start_index: int, points: Points) -> None:
        """Adds 1 or more points, which have a step each."""
        if self._waiting and self._begins_group(series):
            self._flush()
        self._waiting.append(_Waiting(series, start_index, points))
        self._count += points.count
        self._size += sum(segment.size_bytes for segment in points.segments)
        if self._is_full(series):
            self._flush()

    def _is_full(self, last: Series) -> bool:
        if _is_large(last):
            return self._count >= _GROUP_POINTS or self._size >= _GROUP_BYTES
        return self._count >= _SHARED_GROUP_POINTS or self._size >= _SHARED_GROUP_BYTES

    def _begins_group(self, series: Series) -> bool:
        last = self._waiting[-1].series
        return last.number != series.number and (_is_large(series) or _is_large(last))

    def _flush(self) -> None:
        first_row = 0
        parts = []
        for _, pieces in groupby(self._waiting, key=lambda waiting: waiting.series.number):
            part, chunk = self._joined(list(pieces), first_row)
            parts.append(part)
            self._chunks.append(chunk)
            first_row += chunk.count
        self._writer.write_table(to_table(parts), row_group_size=first_row)
        self._groups += 1
        self._waiting, self._count, self._size = [], 0, 0

    def _joined(self, pieces: Sequence[_Waiting], first_row: int) -> tuple[Part, SealedChunk]:
        points = join_points([piece.points for piece in pieces])
        series, start_index = pieces[0].series, pieces[0].start_index
        chunk = SealedChunk(
            series.number,
            start_index,
            points.count,
            sum(segment.size_bytes for segment in points.segments),
            self._groups,
            first_row,
            chunk_overview(points),
        )
        return Part(series.metric, start_index, points), chunk

    def close(self) -> None:
        """Writes what is left, and the footer."""
        if self._waiting:
            self._flush()
        self._writer.close()

    def take_bytes(self) -> bytes:
        """Hands out the bytes of the object that were made since the last call."""
        taken = self._sink.take()
        self.size_bytes += len(taken)
        return taken

    def take_chunks(self) -> Sequence[SealedChunk]:
        """Hands out where points went, since the last call."""
        chunks, self._chunks = self._chunks, []
        return chunks


def _is_large(series: Series) -> bool:
    return series.count >= _LARGE_SERIES
