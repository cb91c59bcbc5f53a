"""Points as Parquet and back: exact to the last bit, and damage is never taken for data."""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.metrics.model import Kind, Points, Segment, Series, SeriesKind
from runstream_server.metrics.sealing.fingerprint import Fingerprint
from runstream_server.metrics.sealing.group_reader import (
    footer_length,
    group_range,
    read_footer,
    read_group,
    read_points,
)
from runstream_server.metrics.sealing.model import ByteRange, SealedChunk, SealedObject
from runstream_server.metrics.sealing.run_file import RunFile
from runstream_server.names import RunName
from tests.metric_points import bits_of, points_with_steps

RUN = RunName("space", "run")


@dataclass
class Written:
    """An object, and where its parts are."""

    data: bytes
    chunks: list[SealedChunk]
    metadata: parquet.FileMetaData
    stored: SealedObject

    def points(self, chunk: SealedChunk) -> Points:
        """Reads points back from nothing but their row group."""
        of = self.stored.groups[chunk.row_group]
        group = read_group(self.metadata, chunk.row_group, self.data[of.start : of.end])
        return read_points(group, chunk.first_row, chunk.count)


def series(metric: str, number: int, count: int) -> Series:
    return Series(RUN, metric, number, count, None, None, None, "", 1, SeriesKind.VALUES, ())


def written(contents: dict[str, list[Points]]) -> Written:
    file = RunFile()
    for number, (metric, pieces) in enumerate(sorted(contents.items())):
        of, start = series(metric, number, sum(points.count for points in pieces)), 0
        for points in pieces:
            file.add(of, start, points)
            start += points.count
    file.close()
    data = file.take_bytes()
    length = footer_length(data)
    footer = ByteRange(len(data) - length, length, crc32(data[-length:]))
    metadata = read_footer(data[-length:])
    ranges = [group_range(metadata, number) for number in range(metadata.num_row_groups)]
    groups = [ByteRange(start, end - start, crc32(data[start:end])) for start, end in ranges]
    return Written(data, list(file.take_chunks()), metadata, SealedObject(RUN, 1, len(data), footer, groups))


def fingerprint(*pieces: Points) -> Fingerprint:
    made = Fingerprint()
    for points in pieces:
        made.add(points)
    return made


@given(
    st.dictionaries(st.text(min_size=1, max_size=20), st.lists(points_with_steps(), min_size=1, max_size=3), max_size=4)
)
def test_points_of_all_kinds_come_back_bit_for_bit(contents: dict[str, list[Points]]) -> None:
    file = written(contents)

    for number, (_, pieces) in enumerate(sorted(contents.items())):
        back = [file.points(chunk) for chunk in file.chunks if chunk.series == number]
        before = [each for points in pieces for each in bits_of(points)]
        assert [each for points in back for each in bits_of(points)] == before
        assert fingerprint(*back) == fingerprint(*pieces)


@given(points_with_steps(), st.data())
def test_a_fingerprint_knows_a_changed_bit(points: Points, data: st.DataObject) -> None:
    steps, times = np.array(points.steps), points.times.copy()
    changed = data.draw(st.sampled_from([steps, times]))
    changed[data.draw(st.integers(0, points.count - 1))] ^= 1 << data.draw(st.integers(0, 62))

    assert fingerprint(Points(steps, times, points.segments)) != fingerprint(points)


def doubles(count: int, start: int = 0) -> Points:
    values = np.random.default_rng(start).normal(size=count)
    steps = np.arange(start, start + count)
    return Points(steps, steps * 1_000, [Segment(Kind.DOUBLE, count, values)])


def test_large_series_have_row_groups_of_their_own_and_small_ones_share_some() -> None:
    contents = {f"small-{n:03}": [doubles(10)] for n in range(500)}
    contents["large"] = [doubles(16_384, n * 16_384) for n in range(20)]
    contents["middle"] = [doubles(20_000)]

    file = written(contents)

    rows = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
    assert rows == [131_072, 131_072, 65_536, 20_000, 5_000]
    assert [chunk.row_group for chunk in file.chunks] == [0, 1, 2, 3, *[4] * 500]


def test_a_flipped_bit_is_damage_wherever_it_is() -> None:
    file = written({"m": [doubles(2_000)]})
    (chunk,) = file.chunks
    before = bits_of(file.points(chunk))
    found = 0
    for place in range(4, file.stored.groups[0].end, 97):
        damaged = bytearray(file.data)
        damaged[place] ^= 4
        try:  # without the checksum of the row group, that of the pages is what is left
            assert bits_of(Written(bytes(damaged), file.chunks, file.metadata, file.stored).points(chunk)) == before
        except StoredBytesDamaged:
            found += 1
    assert found > 100


def test_a_cut_footer_is_damage() -> None:
    file = written({"m": [doubles(100)]})

    with pytest.raises(StoredBytesDamaged):
        read_footer(file.data[-50:])
