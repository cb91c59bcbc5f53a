"""What readers get of stored chunks: everything in range, once, in order, in messages of bounded size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.metrics.chunks import encode_points
from runstream_server.metrics.model import Kind, Points, Segment, Series, SeriesKind, Slice, StoredChunk
from runstream_server.metrics.slices import slices
from runstream_server.metrics.spans import grouped_spans, remaining_spans, spans_in_range
from runstream_server.names import RunName

END = 2**63 - 1


def series(metric: str, count: int) -> Series:
    return Series(RunName("space", "run"), metric, 1, count, None, None, None, "", 1, SeriesKind.VALUES, [])


def chunk(of: Series, start_index: int, values: list[float | str], wanted: tuple[int, int] = (0, END)) -> StoredChunk:
    parts = []
    for value in values:
        kind = Kind.STRING if isinstance(value, str) else Kind.DOUBLE
        parts.append(Segment(kind, 1, [value] if isinstance(value, str) else np.array([value])))
    times = np.arange(start_index, start_index + len(values))
    return StoredChunk(of, start_index, len(values), encode_points(Points(None, times, parts)), *wanted)


def flat(parts: list[Slice]) -> list[tuple[int, int, float | str]]:
    return [
        (part.start_index + place, int(part.steps[place]), value)
        for part in parts
        for place, value in enumerate(part.segment.strings if part.segment.kind is Kind.STRING else part.segment.array)
    ]


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    start=st.integers(0, 60),
    end=st.integers(0, 60),
    texts=st.booleans(),
)
def test_each_value_in_range_comes_once_and_in_order(lengths: list[int], start: int, end: int, texts: bool) -> None:
    total = sum(lengths)
    values: list[float | str] = [str(n) if texts and n % 3 == 0 else float(n) for n in range(total)]
    of = series("m", total)
    ends = np.cumsum(lengths).tolist()
    chunks = [chunk(of, begin, values[begin:stop], (start, end)) for begin, stop in zip([0, *ends], ends, strict=False)]

    read = flat(list(slices(chunks)))

    assert read == [(n, n, values[n]) for n in range(total)][start:end]


def test_neighbours_of_one_type_share_a_message() -> None:
    of = series("m", 100)

    assert len(slices([chunk(of, n, [float(n)]) for n in range(100)])) == 1


def test_a_large_chunk_becomes_several_messages() -> None:
    count = 100_000
    of = series("m", count)
    points = Points(None, np.arange(count), [Segment(Kind.DOUBLE, count, np.arange(count, dtype=np.float64))])

    parts = slices([StoredChunk(of, 0, count, encode_points(points), 0, END)])

    assert max(part.segment.size_bytes for part in parts) <= 256 * 1024
    assert [value for part in parts for value in part.segment.array] == list(range(count))


def test_long_texts_share_messages_without_making_them_large() -> None:
    of = series("m", 100)

    parts = slices([chunk(of, 0, ["x" * 10_000] * 100)])

    assert max(part.segment.size_bytes for part in parts) <= 256 * 1024
    assert sum(part.segment.count for part in parts) == 100
    assert len(parts) == 4


def test_short_series_are_read_together_and_long_and_empty_ones_alone() -> None:
    page = [series("a", 10), series("b", 10), series("c", 0), series("d", 9_000), series("e", 10)]

    groups = [[span.series.metric for span in group] for group in grouped_spans(spans_in_range(page, lambda *_: 0, 0))]

    assert groups == [["a", "b"], ["c"], ["d"], ["e"]]


def test_a_series_without_values_in_range_is_left_out() -> None:
    page = [series("a", 10), series("b", 30), series("c", 0)]

    groups = [
        [span.series.metric for span in group] for group in grouped_spans(spans_in_range(page, lambda *_: 20, 25))
    ]

    assert groups == [["b"], ["c"]]


def test_reading_goes_on_behind_the_last_chunk() -> None:
    (group,) = grouped_spans(spans_in_range([series("a", 4), series("b", 4), series("c", 4)], lambda *_: 0, 0))
    a, b, c = (span.series for span in group)

    left = remaining_spans(group, [chunk(a, 0, [1.0] * 4), chunk(b, 0, [1.0] * 2)])

    assert [(span.series, span.start_index, span.end_index) for span in left] == [(b, 2, 4), (c, 0, 4)]
    assert not remaining_spans(left, [chunk(b, 2, [1.0] * 2), chunk(c, 0, [1.0] * 4)])


@pytest.mark.parametrize("starts", [[], [1], [0, 3], [0, 0]])
def test_chunks_that_do_not_join_on_are_noticed(starts: list[int]) -> None:
    (group,) = grouped_spans(spans_in_range([series("a", 4)], lambda *_: 0, 0))

    with pytest.raises(StoredBytesDamaged):
        remaining_spans(group, [chunk(group[0].series, start, [1.0] * 2) for start in starts])
