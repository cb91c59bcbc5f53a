"""What readers ask for, and what they get."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from runstream_server.metrics.model import Doubles, Int64s, Series, Slice
from runstream_server.names import RunName


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Which series are read, and which range of each."""

    runs: Sequence[RunName]
    """All of one workspace."""

    metrics: Sequence[str]
    """None: all."""

    start_index: int = 0

    end_index: int = 0
    """The index before which reading ends; 0: the end of each series."""

    start_indexes: Mapping[str, int] = field(default_factory=dict)
    """Where to begin in metrics instead of at `start_index`."""

    last_count: int = 0
    """Only so many values at the end of each series; 0: all."""

    def first_index(self, metric: str, count: int) -> int:
        """Where to begin in a series of so many values."""
        start = self.start_indexes.get(metric, self.start_index)
        return max(start, count - self.last_count) if self.last_count else start


class Axis(Enum):
    """What series are aligned by."""

    STEP = auto()
    TIME = auto()
    RELATIVE_TIME = auto()


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """Which series are compared, how, and which range of the axis."""

    runs: Sequence[RunName]
    """Without repetition, all of one workspace."""

    metrics: Sequence[str]
    """Without repetition."""

    max_points: int
    axis: Axis

    min: int
    """The least place on the axis."""

    max: int
    """The greatest place on the axis."""

    @property
    def workspace(self) -> str:
        """The workspace of the runs."""
        return self.runs[0].workspace


@dataclass(frozen=True, slots=True)
class ThinnedSeries:
    """What is shown of a series in a range, ascending by place."""

    series: Series
    places: Int64s
    values: Doubles

    count: int
    """How many numbers there are in the range."""

    @property
    def thinned(self) -> bool:
        """Whether numbers were left out."""
        return self.count > len(self.values)


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


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """How many values of a run were refused for one reason."""

    reason: str

    message: str
    """Of the last time."""

    count: int

    metrics: Mapping[str, int]
    """The same by metric, in order of name; there may be metrics that are counted in `count` alone."""
