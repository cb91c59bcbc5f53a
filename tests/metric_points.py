"""Points of all kinds, for properties."""

import numpy as np
from hypothesis import strategies as st

from runstream_server.metrics.model import Kind, Points, Segment

INT64 = st.integers(-(2**63), 2**63 - 1)
DOUBLE_BITS = st.integers(0, 2**64 - 1) | st.sampled_from(
    [0x7FF8000000000000, 0x7FF8000000000001, 0xFFF0000000000001, 0x8000000000000000, 0, 1, 0x7FF0000000000000]
)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    """A few values of one kind."""
    kind, count = (
        draw(st.sampled_from([Kind.DOUBLE, Kind.INT64, Kind.BOOL, Kind.STRING, Kind.NULL])),
        draw(st.integers(1, 30)),
    )
    match kind:
        case Kind.DOUBLE:
            bits = draw(st.lists(DOUBLE_BITS, min_size=count, max_size=count))
            return Segment(kind, count, np.array(bits, np.uint64).view(np.float64))
        case Kind.INT64:
            return Segment(kind, count, np.array(draw(st.lists(INT64, min_size=count, max_size=count)), np.int64))
        case Kind.BOOL:
            return Segment(kind, count, np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count))))
        case Kind.STRING:
            return Segment(kind, count, draw(st.lists(st.text(max_size=50), min_size=count, max_size=count)))
        case _:
            return Segment(kind, count, None)


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
    values: list[object] = []
    for segment in points.segments:
        match segment.kind:
            case Kind.NULL:
                values.extend([None] * segment.count)
            case Kind.STRING:
                values.extend(("string", text) for text in segment.strings)
            case Kind.DOUBLE:
                values.extend(("double", bits) for bits in segment.array.view(np.uint64).tolist())
            case _:
                values.extend((segment.kind.name, value) for value in segment.array.tolist())
    return list(zip(points.steps.tolist(), points.times.tolist(), values, strict=True))
