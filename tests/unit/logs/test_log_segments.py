"""Segments: frames, times and index come back as they were, and damage is noticed."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.logs.model import Mark, marks_between
from runstream_server.logs.sealing.model import Frame, Segment, TimesPlace
from runstream_server.logs.sealing.segment_format import (
    decode_frame,
    decode_times,
    encode_frame,
    encode_index,
    encode_times,
    pack_frames,
    unpack_frames,
)
from runstream_server.names import RunName

TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - a bound
FRAMES = st.builds(Frame, *(st.integers(0, 2**32 - 1) for _ in range(4)))


@given(st.binary(min_size=1, max_size=2_000))
def test_a_frame_brings_back_its_text(text: bytes) -> None:
    stored, frame = encode_frame(text * 3)

    assert decode_frame(stored, frame, "key") == text * 3
    assert (frame.stored_bytes, frame.size_bytes, frame.line_feeds) == (
        len(stored),
        len(text) * 3,
        text.count(b"\n") * 3,
    )


@given(st.binary(min_size=1, max_size=300), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_a_flipped_bit_in_a_frame_is_noticed(text: bytes, where: float, bit: int) -> None:
    stored, frame = encode_frame(text)
    damaged = bytearray(stored)
    damaged[int(where * len(damaged))] ^= 1 << bit

    with pytest.raises(StoredBytesDamaged):
        decode_frame(bytes(damaged), frame, "key")


@given(st.lists(st.tuples(st.integers(1, 2**40), TIMES, TIMES), min_size=1, max_size=50))
def test_times_come_back_to_the_microsecond(pieces: list[tuple[int, datetime, datetime]]) -> None:
    marks, offset = [], 0
    for size, written, received in pieces:
        offset += size
        marks.append(Mark(offset, written, received))

    assert decode_times(encode_times(marks)) == marks


@given(st.lists(FRAMES, max_size=20))
def test_what_postgres_keeps_of_frames_comes_back(frames: list[Frame]) -> None:
    assert unpack_frames(pack_frames(frames)) == frames


def test_decompressors_skip_times_and_index_and_the_index_tells_all() -> None:
    stored, frame = encode_frame(b"text\n")
    times = encode_times([Mark(5, datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))])
    segment = Segment(RunName("space", "run"), 1, 2, 0, 0, [frame], TimesPlace(len(stored), len(times), 7))
    content = stored + times + encode_index(segment, "logs/a.txt")

    assert zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(content) == b"text\n"
    length = int.from_bytes(content[-4:], "little")
    index = json.loads(content[-4 - length : -4])
    assert (index["run"], index["path"], index["frames"]) == (str(segment.run), "logs/a.txt", [list(frame)])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.data())
def test_the_marks_of_a_range_are_those_that_tell_of_its_bytes(sizes: list[int], data: st.DataObject) -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
    marks = [Mark(end, noon + timedelta(seconds=end), noon) for end in ends]
    start = data.draw(st.integers(0, ends[-1] - 1))
    end = data.draw(st.integers(start + 1, ends[-1]))

    told = [next(mark for mark in marks if mark.end_offset > offset) for offset in range(start, end)]
    assert marks_between(marks, start, end) == list(dict.fromkeys(told))
