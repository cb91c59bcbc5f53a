"""The words of metrics."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from runstream_server.appendstreams import Append
from runstream_server.metrics.layouts import Layout
from runstream_server.metrics.tables import Artifacts, Table, TableColumn
from runstream_server.names import RunName

Int64s: TypeAlias = NDArray[np.int64]
Doubles: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]


POINT_BYTES = 24


class Kind(IntEnum):
    """The type of values. The numbers are stored: never changed."""

    DOUBLE = 1
    INT64 = 2
    BOOL = 3
    STRING = 4
    NULL = 5
    TABLE = 6
    ARTIFACTS = 7


class SeriesKind(IntEnum):
    """What a series consists of. The numbers are stored, and those of the contract: never changed."""

    NOTHING = 0
    VALUES = 1
    TABLE = 2
    ARTIFACTS = 3


_SERIES_KINDS = {Kind.TABLE: SeriesKind.TABLE, Kind.ARTIFACTS: SeriesKind.ARTIFACTS}


@dataclass(slots=True)
class Segment:
    """Consecutive values of one type. Not changed once it is made."""

    kind: Kind
    count: int

    values: NDArray[np.generic] | Sequence[str] | Artifacts | Table | None
    """`count` values as the kind says; None for nulls."""

    @property
    def size_bytes(self) -> int:
        """How much memory the values take, with their steps and times, about."""
        match self.kind:
            case Kind.DOUBLE:
                return self.count * POINT_BYTES
            case Kind.STRING:
                return self.count * POINT_BYTES + sum(map(len, self.strings))
            case Kind.TABLE:
                return self.count * POINT_BYTES + sum(column.cells.size_bytes for column in self.table.columns)
            case Kind.ARTIFACTS:
                return self.count * POINT_BYTES + sum(map(len, self.artifacts.paths))
            case _:
                return self.count * POINT_BYTES

    @property
    def form(self) -> Hashable:
        """Equal for segments that one segment can hold."""
        match self.kind:
            case Kind.TABLE:
                return self.kind, tuple((column.name, column.cells.kind) for column in self.table.columns)
            case Kind.ARTIFACTS:
                return self.kind, self.artifacts.artifact_kind
            case _:
                return self.kind

    @property
    def strings(self) -> Sequence[str]:
        """The values of a segment of texts."""
        return cast("Sequence[str]", self.values)

    @property
    def array(self) -> NDArray[np.generic]:
        """The values of a segment of numbers or truth values."""
        return cast("NDArray[np.generic]", self.values)

    @property
    def table(self) -> Table:
        """The values of a segment of rows."""
        return cast("Table", self.values)

    @property
    def artifacts(self) -> Artifacts:
        """The values of a segment of artifacts."""
        return cast("Artifacts", self.values)

    def cut(self, start: int, end: int) -> "Segment":
        """The values from `start` to before `end`, 0 <= start <= end <= count."""
        return Segment(self.kind, end - start, None if self.values is None else self.values[start:end])


@dataclass(slots=True)
class Points:
    """Consecutive values of one series, in order, as equally long columns. Not changed once it is made."""

    steps: Int64s | None
    """None: the step of each value is its index in the series."""

    times: Int64s
    """Microseconds since the Unix epoch, UTC."""

    segments: Sequence[Segment]
    """The values; their counts add up to the length of the columns."""

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.times)

    def cut(self, start: int, end: int) -> "Points":
        """The points from `start` to before `end`, 0 <= start < end <= count; those without steps are not cut."""
        if (start, end) == (0, self.count):
            return self
        segments, begin = [], 0
        for segment in self.segments:
            first, beyond = max(start - begin, 0), min(end - begin, segment.count)
            if first < beyond:
                segments.append(segment.cut(first, beyond))
            begin += segment.count
        return Points(cast("Int64s", self.steps)[start:end], self.times[start:end], segments)

    @property
    def claimed_count(self) -> int:
        """How many values there are if the columns are not of one length; what rows and nulls claim counts nothing."""
        sent = [each.values for each in self.segments if each.kind not in (Kind.NULL, Kind.TABLE)]
        return max(self.count, *(len(values) for values in sent if values is not None), 0)

    @property
    def series_kind(self) -> SeriesKind:
        """What a series has to consist of to hold these values, which are all of one kind."""
        kind = self.segments[0].kind
        if kind is Kind.NULL and not self.count:
            return SeriesKind.NOTHING
        return _SERIES_KINDS.get(kind, SeriesKind.VALUES)

    @property
    def column_names(self) -> Sequence[str]:
        """The columns of rows; none for other values."""
        return self.segments[0].table.names if self.segments[0].kind is Kind.TABLE else ()


@dataclass(slots=True)
class Summary:
    """What is known of some values of a series without reading them."""

    count: int
    last: float | None
    min: float | None
    max: float | None

    kinds: int
    """The bit `1 << kind` is set for each kind among the values."""

    first_time: int | None = None
    """When the earliest value was logged, in microseconds since the Unix epoch. None: there are no values."""

    def then(self, later: "Summary") -> "Summary":
        """The summary of these values and of later ones."""
        return Summary(
            self.count + later.count,
            self.last if later.last is None else later.last,
            later.min if self.min is None else self.min if later.min is None else min(self.min, later.min),
            later.max if self.max is None else self.max if later.max is None else max(self.max, later.max),
            self.kinds | later.kinds,
            min((each for each in (self.first_time, later.first_time) if each is not None), default=None),
        )


@dataclass(slots=True)
class Chunk:
    """Encoded points."""

    size_bytes: int
    """How much memory the points take when they are decoded, about."""

    data: bytes
    summary: Summary

    overview: bytes | None
    """What is known of many points without decoding them."""


@dataclass(slots=True)
class SeriesPiece:
    """What one batch says of one series at one place. Not changed once it is made."""

    metric: str
    description: str
    kind: SeriesKind

    columns: Sequence[str]
    """The columns of rows; none for other values."""

    content: Points | Chunk
    """Few values are encoded later, together with others of their series."""


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """What one writer logged between two moments, checked."""

    digest: bytes
    pieces: Sequence[SeriesPiece]


@dataclass(frozen=True, slots=True)
class KnownBatch:
    """The same as it was sent: a few numbers of each series, in a layout that is known, and sound."""

    digest: bytes
    layout: Layout

    series: bytes
    """As the layout says."""

    @property
    def pieces(self) -> Sequence[SeriesPiece]:
        """What it says, series by series."""
        return list(self._pieces())

    def _pieces(self) -> Iterator[SeriesPiece]:
        for placed, steps, times, values in self.layout.columns([self.series]):
            for place, rank in enumerate(placed.ranks):
                segment = Segment(Kind.DOUBLE, placed.count, values[0, place])
                points = Points(None if steps is None else steps[0, place], times[0, place], (segment,))
                yield SeriesPiece(self.layout.metrics[rank], "", SeriesKind.VALUES, (), points)


MetricPayload: TypeAlias = MetricBatch | KnownBatch
MetricAppend: TypeAlias = Append[MetricPayload]


@dataclass(frozen=True, slots=True)
class Series:
    """A series as the database knows it."""

    run: RunName
    metric: str

    number: int
    """Identifies the series in the chunks."""

    count: int
    last: float | None
    min: float | None
    max: float | None
    description: str
    revision: int
    kind: SeriesKind
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class SeriesPage:
    """Some of many series, in order of run and metric."""

    series: Sequence[Series]

    has_more: bool
    """Whether there may be more after them; then there is at least one of them."""

    @property
    def last(self) -> tuple[str, str]:
        """The run and the metric of the last of them; only where there may be more."""
        return self.series[-1].run.run, self.series[-1].metric


@dataclass(frozen=True, slots=True)
class Span:
    """What is still to be read of a series."""

    series: Series
    start_index: int

    end_index: int
    """The index before which reading ends."""

    @property
    def count(self) -> int:
        """How many values that are; none if not above 0."""
        return self.end_index - self.start_index


def span_columns(spans: Sequence[Span]) -> tuple[str, Sequence[str], Sequence[int], Sequence[int], Sequence[int]]:
    """Spans of one workspace as arguments of a statement: the workspace, then runs, series, first and end indexes."""
    return (
        spans[0].series.run.workspace,
        [span.series.run.run for span in spans],
        [span.series.number for span in spans],
        [span.start_index for span in spans],
        [span.end_index for span in spans],
    )


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk and its place."""

    series: Series
    start_index: int
    count: int

    data: bytes | Points
    """Encoded, or the values themselves."""

    wanted_index: int
    """The index before which values are not wanted; larger than `start_index` if reading begins within the chunk."""

    wanted_end: int
    """The index from which on values are not wanted; less than `end_index` if reading ends within the chunk."""

    @property
    def end_index(self) -> int:
        """The index after the last value."""
        return self.start_index + self.count


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive values of one series, of one type, with a step for each."""

    series: Series
    start_index: int
    points: Points

    @property
    def end_index(self) -> int:
        """The index after the last value."""
        return self.start_index + self.points.count

    @property
    def segment(self) -> Segment:
        """The values."""
        return self.points.segments[0]

    @property
    def steps(self) -> Int64s:
        """The steps."""
        return cast("Int64s", self.points.steps)


def no_points(series: Series) -> Points:
    """What a series without values is read as: a table shows its columns."""
    nulls = Segment(Kind.NULL, 0, None)
    if series.kind is SeriesKind.TABLE:
        empty = Table(0, [TableColumn(name, nulls) for name in series.columns])
        return Points(None, np.empty(0, np.int64), (Segment(Kind.TABLE, 0, empty),))
    return Points(None, np.empty(0, np.int64), (nulls,))
