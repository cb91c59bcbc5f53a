"""Points of all kinds, for properties."""

import numpy as np
from hypothesis import strategies as st

from runstream_server.metrics.model import Kind, Points, Segment
from runstream_server.metrics.tables import Artifacts, Table, TableColumn

INT64 = st.integers(-(2**63), 2**63 - 1)
DOUBLE_BITS = st.integers(0, 2**64 - 1) | st.sampled_from(
    [0x7FF8000000000000, 0x7FF8000000000001, 0xFFF0000000000001, 0x8000000000000000, 0, 1, 0x7FF0000000000000]
)


PLAIN = [Kind.DOUBLE, Kind.INT64, Kind.BOOL, Kind.STRING, Kind.NULL]


def plain_segments(counts: st.SearchStrategy[int]) -> st.SearchStrategy[Segment]:
    """A few plain values of one kind."""

    @st.composite
    def draw_segment(draw: st.DrawFn) -> Segment:
        kind, count = draw(st.sampled_from(PLAIN)), draw(counts)
        match kind:
            case Kind.DOUBLE:
                bits = draw(st.lists(DOUBLE_BITS, min_size=count, max_size=count))
                return Segment(kind, count, np.array(bits, np.uint64).view(np.float64))
            case Kind.INT64:
                return Segment(kind, count, np.array(draw(st.lists(INT64, min_size=count, max_size=count)), np.int64))
            case Kind.BOOL:
                return Segment(kind, count, np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count))))
            case Kind.STRING:
                return Segment(kind, count, draw(st.lists(st.text(max_size=9), min_size=count, max_size=count)))
            case _:
                return Segment(kind, count, None)

    return draw_segment()


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    """A few values of one kind, rows and artifacts too."""
    count = draw(st.integers(1, 8))
    match draw(st.integers(0, 4)):
        case 0:
            paths = draw(st.lists(st.text(min_size=1, max_size=9), min_size=count, max_size=count))
            return Segment(Kind.ARTIFACTS, count, Artifacts(draw(st.integers(1, 5)), paths))
        case 1:
            names = draw(st.lists(st.sampled_from("abcd"), unique=True))
            columns = [TableColumn(name, draw(plain_segments(st.just(count)))) for name in names]
            return Segment(Kind.TABLE, count, Table(count, columns))
        case _:
            return draw(plain_segments(st.just(count)))


@st.composite
def points_with_steps(draw: st.DrawFn) -> Points:
    """A few values of several kinds, with any steps and times."""
    parts = draw(st.lists(segments(), min_size=1, max_size=4))
    count = sum(part.count for part in parts)
    columns = st.lists(INT64, min_size=count, max_size=count)
    return Points(np.array(draw(columns), np.int64), np.array(draw(columns), np.int64), parts)


def bits_of(points: Points) -> list[object]:
    """Each point, values as their bits."""
    assert points.steps is not None
    values = [value for segment in points.segments for value in _values(segment)]
    return list(zip(points.steps.tolist(), points.times.tolist(), values, strict=True))


def _values(segment: Segment) -> list[object]:
    match segment.kind:
        case Kind.NULL:
            return [None] * segment.count
        case Kind.STRING:
            return [("string", text) for text in segment.strings]
        case Kind.DOUBLE:
            return [("double", bits) for bits in segment.array.view(np.uint64).tolist()]
        case Kind.ARTIFACTS:
            return [(segment.artifacts.artifact_kind, path) for path in segment.artifacts.paths]
        case Kind.TABLE:
            cells = [[(column.name, value) for value in _values(column.cells)] for column in segment.table.columns]
            return list(zip(*cells, strict=True)) if cells else [()] * segment.count
        case _:
            return [(segment.kind.name, value) for value in segment.array.tolist()]
