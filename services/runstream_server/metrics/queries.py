"""What readers ask for, and what they get."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
