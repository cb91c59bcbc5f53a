"""Overviews as bytes and back. An encoded overview describes itself and stays readable for all later versions.

Format 1, in an envelope: the number of buckets, whether steps are relative to the index of the first value, then one
block with a table of 64-bit numbers, column by column, the first bytes of all numbers of a column first. Columns: four
16-bit numbers (values, numbers among them, place of the least and of the greatest one); the least step, as the
difference to the bucket before; the greatest step, the step of the least and of the greatest number, as differences to
the least step; the time of the least and of the greatest number, the least and the greatest time, likewise; the least
and the greatest number.
"""

import struct
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from runstream_server.compression import pack_array, unpack
from runstream_server.envelope import StoredBytesDamaged, unwrap, wrap
from runstream_server.metrics.model import Doubles, Int64s, Points
from runstream_server.metrics.overview import (
    BUCKET_POINTS,
    Extremes,
    Overview,
    bucket_places,
    curve_extremes,
    numbers_of,
)

WORTH_POINTS = 2_048
"""A smaller chunk has no overview: it would cost ingestion half as much as the chunk itself, and is merged soon."""

_FORMAT = 1
_HEAD = struct.Struct("<IB")
_STORED_COLUMNS = 11
_ITEM = 8
_STEPS, _TIMES, _VALUES = slice(1, 5), slice(5, 9), slice(9, 11)


def chunk_overview(points: Points) -> bytes | None:
    """The encoded overview of a chunk whose place in its series is not known yet; None if it has too few values."""
    if points.count < WORTH_POINTS:
        return None
    steps = np.arange(points.count) if points.steps is None else points.steps
    values = numbers_of(points)
    buckets = bucket_places(steps, points.times, values)
    extremes = buckets.extremes
    table = np.empty((_STORED_COLUMNS, len(buckets.starts)), "<i8")
    _put_counts(table, buckets.counts, buckets.numbers, extremes[2:4] - buckets.starts)
    table[_STEPS] = steps[extremes[:4]]
    table[_TIMES] = points.times[extremes[2:]]
    table[_VALUES] = values[extremes[2:4]].view(np.int64)
    return _packed(table, relative_steps=points.steps is None)


def curve_overviews(steps: Int64s, times: Int64s, values: Doubles) -> Sequence[bytes] | None:
    """What `chunk_overview` makes of each row of three tables, much faster.

    None if it cannot say: there are few values, or a step or time is less than the one before, or a value is NaN.
    """
    if steps.shape[1] < WORTH_POINTS or not (_ascend(steps) and _ascend(times)):
        return None
    starts = np.arange(0, steps.shape[1], BUCKET_POINTS)
    ends = np.append(starts[1:], steps.shape[1]) - 1
    least, greatest = curve_extremes(values)
    low, high = np.take_along_axis(values, least, 1), np.take_along_axis(values, greatest, 1)
    if np.isnan(low).any():
        return None
    tables = np.empty((len(steps), _STORED_COLUMNS, len(starts)), "<i8")
    counts = tables[:, 0].view("<u2").reshape(len(steps), len(starts), 4)
    counts[:, :, 0] = counts[:, :, 1] = ends - starts + 1
    counts[:, :, 2], counts[:, :, 3] = least - starts, greatest - starts
    tables[:, 1], tables[:, 2] = steps[:, starts], steps[:, ends]
    tables[:, 3], tables[:, 4] = np.take_along_axis(steps, least, 1), np.take_along_axis(steps, greatest, 1)
    tables[:, 5], tables[:, 6] = np.take_along_axis(times, least, 1), np.take_along_axis(times, greatest, 1)
    tables[:, 7], tables[:, 8] = times[:, starts], times[:, ends]
    tables[:, 9], tables[:, 10] = low.view(np.int64), high.view(np.int64)
    return _pack_tables(tables, relative_steps=False)


def _ascend(rows: Int64s) -> bool:
    return bool((rows[:, 1:] >= rows[:, :-1]).all())


def encode_overview(overview: Overview) -> bytes:
    """Encodes an overview without gaps; `decode_overviews` takes the index of its first value again."""
    least, greatest = overview.least, overview.greatest
    table = np.empty((_STORED_COLUMNS, len(overview.starts)), "<i8")
    _put_counts(table, overview.counts, overview.numbers, np.stack((least.indexes, greatest.indexes)) - overview.starts)
    table[_STEPS] = overview.min_steps, overview.max_steps, least.steps, greatest.steps
    table[_TIMES] = least.times, greatest.times, overview.min_times, overview.max_times
    table[_VALUES] = least.values.view(np.int64), greatest.values.view(np.int64)
    return _packed(table, relative_steps=False)


def _put_counts(table: Int64s, counts: Int64s, numbers: Int64s, places: Int64s) -> None:
    """Four numbers of 16 bits in one column."""
    fields = table[0].view("<u2").reshape(-1, 4)
    fields[:, 0], fields[:, 1], fields[:, 2:] = counts, numbers, places.T


def _packed(table: Int64s, *, relative_steps: bool) -> bytes:
    """Packs a table whose steps and times are not differences yet."""
    return _pack_tables(table[None], relative_steps=relative_steps)[0]


def _pack_tables(tables: Int64s, *, relative_steps: bool) -> Sequence[bytes]:
    """Packs tables of one size, whose steps and times are not differences yet."""
    tables[:, 2:5] -= tables[:, 1:2]  # wraps around, and back again in decoding
    tables[:, 5:7] -= tables[:, 7:8]
    tables[:, 8] -= tables[:, 7]
    tables[:, 1:8:6, 1:] -= tables[:, 1:8:6, :-1].copy()
    head = _HEAD.pack(tables.shape[2], relative_steps)
    planes = tables.view(np.uint8).reshape(*tables.shape, _ITEM).transpose(0, 1, 3, 2)
    return [wrap(_FORMAT, head, pack_array(each, fast=True)) for each in np.ascontiguousarray(planes)]


def decode_overviews(stored: Sequence[tuple[bytes, int]]) -> Overview:
    """Decodes 1 or more encoded overviews of one series, each with the index of its first value, and joins them.

    Many at once take hardly longer than one. Raises StoredBytesDamaged.
    """
    try:
        return _decode(stored)
    except (struct.error, ValueError, IndexError) as error:
        raise StoredBytesDamaged(str(error)) from error


def _decode(stored: Sequence[tuple[bytes, int]]) -> Overview:
    opened = [_open(data) for data, _ in stored]
    lengths = np.array([planes.shape[1] for planes, _ in opened])
    table = _unshuffle(np.concatenate([planes for planes, _ in opened], axis=1))
    firsts = np.array([index for _, index in stored], np.int64)
    places = np.ascontiguousarray(table[0]).view("<u2").reshape(-1, 4).astype(np.int64)
    counts = places[:, 0].copy()
    starts = np.repeat(firsts, lengths) + _sums_before(counts, lengths)
    shifts = np.where([relative for _, relative in opened], firsts, 0)
    min_steps = _sums(table[1], lengths) + np.repeat(shifts, lengths)
    min_times = _sums(table[7], lengths)
    least = Extremes(
        starts + places[:, 2], min_steps + table[3], min_times + table[5], table[9].copy().view(np.float64)
    )
    greatest = Extremes(
        starts + places[:, 3], min_steps + table[4], min_times + table[6], table[10].copy().view(np.float64)
    )
    return Overview(
        starts,
        counts,
        places[:, 1].copy(),
        min_steps,
        min_steps + table[2],
        min_times,
        min_times + table[8],
        least,
        greatest,
    )


def _open(data: bytes) -> tuple[NDArray[np.uint8], bool]:
    """The planes of an overview, and whether its steps are relative."""
    body = unwrap(data, _FORMAT)
    count, relative = _HEAD.unpack_from(body)
    content, _ = unpack(body[_HEAD.size :])
    return np.frombuffer(content, np.uint8).reshape(_STORED_COLUMNS * _ITEM, count), bool(relative)


def _unshuffle(planes: NDArray[np.uint8]) -> Int64s:
    numbers = np.empty((_STORED_COLUMNS, planes.shape[1], _ITEM), np.uint8)
    for place in range(_ITEM):
        numbers[:, :, place] = planes[place::_ITEM]
    return cast("Int64s", numbers.view("<i8").reshape(_STORED_COLUMNS, -1).astype(np.int64, copy=False))


def _sums(column: Int64s, lengths: Int64s) -> Int64s:
    """Running sums within each of the parts with these lengths; wraps around as the differences did."""
    sums = np.cumsum(column)
    ends = np.cumsum(lengths)[:-1]
    befores = np.concatenate([np.zeros(1, np.int64), sums[ends - 1]])
    return cast("Int64s", sums - np.repeat(befores, lengths))


def _sums_before(column: Int64s, lengths: Int64s) -> Int64s:
    return cast("Int64s", _sums(column, lengths) - column)
