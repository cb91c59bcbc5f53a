"""The words of metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from runstream_server.appendstreams import Append
from runstream_server.names import RunName

Int64s: TypeAlias = NDArray[np.int64]
Doubles: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]


_POINT_BYTES = 24


class Kind(IntEnum):
    """The type of values. The numbers are stored: never changed."""

    DOUBLE = 1
    INT64 = 2
    BOOL = 3
    STRING = 4
    NULL = 5


@dataclass(slots=True)
class Segment:
    """Consecutive values of one type. Not changed once it is made."""

    kind: Kind
    count: int

    values: NDArray[np.generic] | Sequence[str] | None
    """`count` values as the kind says; None for nulls."""

    @property
    def size_bytes(self) -> int:
        """How much memory the values take, with their steps and times, about."""
        texts = sum(map(len, self.strings)) if self.kind is Kind.STRING else 0
        return self.count * _POINT_BYTES + texts

    @property
    def strings(self) -> Sequence[str]:
        """The values of a segment of texts."""
        return cast("Sequence[str]", self.values)

    @property
    def array(self) -> NDArray[np.generic]:
        """The values of a segment of numbers or truth values."""
        return cast("NDArray[np.generic]", self.values)

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
        """How many values there are if the columns are not of one length."""
        return max(self.count, *(len(each.values) for each in self.segments if each.values is not None), 0)


@dataclass(slots=True)
class Summary:
    """What is known of some values of a series without reading them."""

    count: int
    last: float | None
    min: float | None
    max: float | None

    kinds: int
    """The bit `1 << kind` is set for each kind among the values."""

    def then(self, later: "Summary") -> "Summary":
        """The summary of these values and of later ones."""
        return Summary(
            self.count + later.count,
            self.last if later.last is None else later.last,
            later.min if self.min is None else self.min if later.min is None else min(self.min, later.min),
            later.max if self.max is None else self.max if later.max is None else max(self.max, later.max),
            self.kinds | later.kinds,
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

    content: Points | Chunk
    """Few values are encoded later, together with others of their series."""


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """What one writer logged between two moments, checked."""

    digest: bytes
    pieces: Sequence[SeriesPiece]


MetricAppend: TypeAlias = Append[MetricBatch]


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


@dataclass(frozen=True, slots=True)
class TailRequest:
    """Which series are followed, and from where on."""

    runs: Sequence[RunName]
    """Without repetition, all of one workspace."""

    metrics: Sequence[str]
    """None: all."""

    positions: Mapping[tuple[str, str], int]
    """The index of the next value, by run id and metric."""

    from_now: bool
    """Whether other series begin after the values they have now."""

    @property
    def workspace(self) -> str:
        """The workspace of the runs."""
        return self.runs[0].workspace


@dataclass(frozen=True, slots=True)
class TailMessage:
    """What a tail says at once."""

    slice: Slice | None
    ended: bool = False


NO_POINTS = Points(None, np.empty(0, np.int64), (Segment(Kind.NULL, 0, None),))
"""What a series without values is read as."""
