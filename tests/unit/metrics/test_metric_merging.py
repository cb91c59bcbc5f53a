"""Which chunks are merged, and that nothing changes by it."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.metrics.chunks import decode_points, encode_points
from runstream_server.metrics.encoding import encode_chunk
from runstream_server.metrics.grouping import SeriesGrowth
from runstream_server.metrics.maintenance.fragments import Fragments
from runstream_server.metrics.maintenance.merging import Extent, Merge, merge_chunks, plan_merges
from runstream_server.metrics.model import Kind, Points, Segment, Summary
from runstream_server.names import RunName

RUN = RunName("space", "run")


def extents(*counts: int, series: int = 1, size_bytes: int = 24) -> list[Extent]:
    starts = np.cumsum([0, *counts]).tolist()
    return [Extent(series, start, count, size_bytes) for start, count in zip(starts, counts, strict=False)]


def merged_counts(*counts: int) -> list[list[int]]:
    return [[extent.count for extent in merge.extents] for merge in plan_merges(extents(*counts))]


def test_small_chunks_become_one() -> None:
    assert merged_counts(1, 1, 1, 5, 7) == [[1, 1, 1, 5, 7]]


def test_a_chunk_waits_until_as_much_came_after_it() -> None:
    assert merged_counts(100, 1, 1) == [[1, 1]]
    assert merged_counts(100, 1, 1, 98) == [[100, 1, 1, 98]]


def test_a_merged_chunk_has_up_to_16384_points() -> None:
    assert merged_counts(*[4_096] * 9) == [[4_096] * 4, [4_096] * 4]


def test_chunks_of_large_texts_are_not_merged_into_huge_ones() -> None:
    large = extents(10, 10, 10, 10, size_bytes=500_000)

    assert [len(merge.extents) for merge in plan_merges(large)] == [2, 2]


def test_nothing_is_merged_across_series_or_gaps() -> None:
    first, second = extents(1, 1, series=1), extents(1, 1, 1, series=2)
    del second[1]

    assert plan_merges([*first, *second]) == [Merge(first)]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=300))
def test_a_value_is_rewritten_a_logarithmic_number_of_times(batches: list[int]) -> None:
    chunks: list[tuple[int, int]] = []  # count, how often it was rewritten
    for batch in batches:
        chunks.append((batch, 0))
        for merge in plan_merges(extents(*(count for count, _ in chunks))):
            start = len(chunks) - len(merge.extents)
            group = chunks[start:]
            chunks[start:] = [(sum(count for count, _ in group), 1 + max(times for _, times in group))]

    assert max(times for _, times in chunks) <= 2 * sum(batches).bit_length()
    assert len(chunks) <= 2 * sum(batches).bit_length()


KINDS = st.sampled_from([Kind.DOUBLE, Kind.INT64, Kind.STRING, Kind.NULL])


def points_of(kind: Kind, start: int, count: int, with_steps: bool) -> Points:
    values: Any = {
        Kind.DOUBLE: np.arange(start, start + count) / 7,
        Kind.INT64: np.arange(start, start + count),
        Kind.STRING: [f"text {n}" for n in range(start, start + count)],
        Kind.NULL: None,
    }[kind]
    steps = np.arange(start, start + count) * 3 if with_steps else None
    return Points(steps, np.arange(start, start + count) * 1_000, [Segment(kind, count, values)])


def values_of(points: Points, start: int) -> list[object]:
    steps = np.arange(start, start + points.count) if points.steps is None else points.steps
    values = [
        value
        for segment in points.segments
        for value in (
            [None] * segment.count if segment.values is None else list(cast("Sequence[object]", segment.values))
        )
    ]
    return list(zip(steps.tolist(), points.times.tolist(), values, strict=True))


@given(st.lists(st.tuples(KINDS, st.integers(1, 9), st.booleans()), min_size=2, max_size=12))
def test_a_merged_chunk_has_the_same_values_steps_and_times_in_order(parts: list[tuple[Kind, int, bool]]) -> None:
    start, pieces = 0, []
    for kind, count, with_steps in parts:
        pieces.append(points_of(kind, start, count, with_steps))
        start += count
    merge = Merge(extents(*(piece.count for piece in pieces)))

    (merged,) = merge_chunks(RUN, [(merge, [encode_points(piece) for piece in pieces])])

    before = [
        each for piece, at in zip(pieces, merge.extents, strict=True) for each in values_of(piece, at.start_index)
    ]
    assert values_of(decode_points(merged.chunk.data), 0) == before


def test_damaged_chunks_are_left_as_they_are() -> None:
    good, bad = extents(1, 1, series=1), extents(1, 1, series=2)
    data = encode_points(points_of(Kind.DOUBLE, 0, 1, False))

    merged = merge_chunks(RUN, [(Merge(good), [data, data]), (Merge(bad), [data, data[:-1] + b"\0"])])

    assert [each.merge for each in merged] == [Merge(good)]


def growth(metric: str, count: int) -> SeriesGrowth:
    chunk = encode_chunk(points_of(Kind.DOUBLE, 0, count, False))
    return SeriesGrowth(("space", "run", metric), [], [], summary=Summary(count, None, None, None, 0), chunks=[chunk])


async def test_a_series_is_due_after_64_small_chunks_and_never_for_large_ones() -> None:
    fragments = Fragments()
    for _ in range(64):
        fragments.note([growth("small", 1), growth("large", 2_048)])

    async with asyncio.timeout(5):
        assert await fragments.take() == (RUN, ["small"])
    taking = asyncio.ensure_future(fragments.take())
    fragments.note([growth("small", 1)] * 63)
    fragments.note([growth("other", 1)] * 64)
    assert await taking == (RUN, ["other"])


async def test_chunks_of_curves_count_as_well() -> None:
    fragments = Fragments()
    for _ in range(32):
        fragments.note_places([("space", "run", "small"), ("space", "run", "other")])
        fragments.note([growth("small", 1)])

    async with asyncio.timeout(5):
        assert await fragments.take() == (RUN, ["small"])


async def test_of_too_many_series_those_that_came_first_are_forgotten() -> None:
    fragments, chunk = Fragments(), encode_chunk(points_of(Kind.DOUBLE, 0, 1, False))
    few = Summary(1, None, None, None, 0)
    fragments.note(
        SeriesGrowth(("space", "run", str(number)), [], [], summary=few, chunks=[chunk] * 63)
        for number in range(100_001)
    )
    fragments.note([growth("0", 1), growth("100000", 1)])

    async with asyncio.timeout(5):
        assert await fragments.take() == (RUN, ["100000"])
