"""The spool file: what is written is read, and damage costs no more than what it hit."""

import os
import struct
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream._spool.artifacts import Artifact, artifact_record, decode_artifact
from runstream._spool.events import Refusal
from runstream._spool.format import (
    BOOL,
    DEFINE,
    DESCRIBE,
    DOUBLE,
    FOLLOW_FILE,
    HEADER_BYTES,
    INT64,
    NULL,
    TEXT,
    VALUE,
    Drops,
    Header,
    SpoolDamaged,
    UnknownVersion,
    decode_drops,
    decode_header,
    encode_drops,
    encode_header,
)
from runstream._spool.reader import Damage, SpoolReader
from runstream._spool.records import (
    Column,
    Record,
    Scalar,
    decode_finish,
    decode_follow,
    decode_mark,
    decode_refused,
    decode_text,
    decode_values,
    double_record,
    double_stepped_record,
    finish_record,
    follow_record,
    list_record,
    mark_record,
    record_at,
    refused_record,
    text_record,
    value_record,
)

HEADER = Header("workspaces/default/runs/one", "0123456789abcdef" * 2, "127.0.0.1:50051")
RECORD_BYTES = 29

ids = st.integers(0, 2**32 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
times = st.integers(0, 2**62)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
scalars = st.one_of(
    st.tuples(st.just(DOUBLE), st.floats(allow_nan=False)),
    st.tuples(st.just(INT64), int64s),
    st.tuples(st.just(BOOL), st.booleans()),
    st.tuples(st.just(TEXT), texts),
    st.tuples(st.just(NULL), st.none()),
)
columns = st.one_of(
    st.tuples(st.just(DOUBLE), st.lists(st.floats(allow_nan=False)).map(lambda it: array("d", it))),
    st.tuples(st.just(INT64), st.lists(int64s).map(lambda it: array("q", it))),
    st.tuples(st.just(BOOL), st.lists(st.booleans()).map(lambda it: array("B", it))),
    st.tuples(st.just(TEXT), st.lists(texts)),
    st.tuples(st.just(NULL), st.integers(0, 1000)),
)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "one.spool"


def only(data: bytes) -> Record:
    """The record that `data` is, whole."""
    record = record_at(data, 0, 0)
    assert record is not None
    assert record.end == len(data)
    return record


def read(path: Path, *, final: bool = True) -> list[Record | Damage]:
    """Everything that is read of a spool from one look at it."""
    reader = SpoolReader(path)
    try:
        return list(_read_all(reader, final))
    finally:
        reader.close()


def _read_all(reader: SpoolReader, final: bool) -> Iterator[Record | Damage]:
    while found := reader.read(final=final):
        yield from found


def write(path: Path, records: list[bytes]) -> bytes:
    data = encode_header(HEADER) + b"".join(records)
    path.write_bytes(data)
    return data


def numbered(count: int) -> list[bytes]:
    """Records that know their place."""
    return [double_record(index, 1_000 + index, index / 3) for index in range(count)]


def places(found: list[Record | Damage]) -> list[int]:
    """The places of the records among `found`."""
    return [decode_values(item.body).id for item in found if isinstance(item, Record)]


@given(id_=ids, time=times, step=st.none() | int64s, scalar=scalars)
def test_a_value_is_read_as_written(id_: int, time: int, step: int | None, scalar: tuple[int, Scalar]) -> None:
    kind, value = scalar

    values = decode_values(only(value_record(kind, id_, time, step, value)).body)

    assert (values.id, values.kind, values.time, values.step, values.value_count) == (id_, kind, time, step, 1)
    assert values.column == 1 if kind == NULL else list(values.column) == [value]  # type: ignore[arg-type]


@given(id_=ids, time=times, column=columns)
def test_a_list_is_read_as_written(id_: int, time: int, column: tuple[int, Column]) -> None:
    kind, expected = column

    values = decode_values(only(list_record(kind, id_, time, expected)).body)

    assert (values.id, values.kind, values.time, values.step) == (id_, kind, time, None)
    assert values.column == expected
    assert values.value_count == (expected if isinstance(expected, int) else len(expected))


@given(id_=ids, time=times, step=int64s, value=st.floats())
def test_the_fast_records_are_the_general_ones(id_: int, time: int, step: int, value: float) -> None:
    assert double_record(id_, time, value) == value_record(DOUBLE, id_, time, None, value)
    assert double_stepped_record(id_, time, step, value) == value_record(DOUBLE, id_, time, step, value)


@pytest.mark.parametrize("bits", [0x7FF8000000000000, 0x7FF8000000000123, 0x8000000000000000, 0xFFF0000000000000, 1])
def test_the_bits_of_a_double_survive(bits: int) -> None:
    (value,) = struct.unpack("<d", struct.pack("<Q", bits))

    column = decode_values(only(double_record(1, 2, value)).body).column

    assert isinstance(column, array)
    assert column.tobytes() == struct.pack("=Q", bits)


@given(text=texts, id_=ids, number=st.integers(0, 2**64 - 1))
def test_other_records_are_read_as_written(text: str, id_: int, number: int) -> None:
    refusal = Refusal(text, "INVALID_NAME", text, number)

    assert decode_text(only(text_record(DEFINE, id_, text.encode())).body) == (id_, text)
    assert decode_text(only(text_record(DESCRIBE, id_, text.encode())).body) == (id_, text)
    assert decode_follow(only(follow_record(FOLLOW_FILE, text, "/tmp/x")).body) == (text, "/tmp/x")
    assert decode_refused(only(refused_record(refusal)).body) == refusal
    assert decode_mark(only(mark_record(number)).body) == number


def test_the_header_is_read_as_written() -> None:
    assert len(encode_header(HEADER)) == HEADER_BYTES
    assert decode_header(encode_header(HEADER)) == HEADER


def test_names_too_long_for_a_header_are_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode_header(Header("r" * 1000, "w", "a"))


def test_a_later_version_is_told_from_damage() -> None:
    data = bytearray(encode_header(HEADER))
    data[8] += 1

    with pytest.raises(UnknownVersion):
        decode_header(bytes(data))


def test_spools_of_the_first_version_are_readable(spool: Path) -> None:
    data = bytearray(write(spool, numbered(3)))
    data[8] = 1
    spool.write_bytes(data)

    assert decode_header(bytes(data)) == HEADER
    assert places(read(spool)) == [0, 1, 2]


def test_the_bytes_of_the_first_version_are_read_as_they_were_written() -> None:
    path = Path(__file__).with_name("spool_v1.bin")
    reader = SpoolReader(path)
    found = reader.read(final=True)
    drops = reader.drops()
    reader.close()

    assert reader.header.run == "workspaces/default/runs/one"
    assert (reader.header.address, reader.header.after, reader.header.first) == ("127.0.0.1:7878", "", "")
    assert drops == Drops(3, 28, 0)
    records = [item for item in found if isinstance(item, Record)]
    assert len(records) == len(found) == 19
    stored = [decode_values(record.body) for record in records if record.type >= VALUE]
    assert [(each.step, list(each.column) if not isinstance(each.column, int) else each.column) for each in stored] == [
        *((None, [0.5]), (7, [0.25]), (None, [-(2**63)]), (None, [1]), (3, ["drei ü"]), (None, 1)),
        *((None, [1.0, 2.0, float("inf")]), (None, ["a", "", "b"]), (None, 0)),
    ]
    assert stored[0].time == 1_700_000_000_000_000
    assert not decode_finish(records[-1].body)


@given(artifact=st.builds(Artifact, ids, texts, st.integers(1, 5), texts, times, texts))
def test_an_artifact_is_read_as_written(artifact: Artifact) -> None:
    assert decode_artifact(only(artifact_record(artifact)).body) == artifact


@pytest.mark.parametrize("length", [0, 7, 8, 100, HEADER_BYTES - 1])
def test_a_header_that_is_cut_off_is_damaged(length: int) -> None:
    with pytest.raises(SpoolDamaged):
        decode_header(encode_header(HEADER)[:length])


def test_each_flipped_bit_of_the_header_is_noticed() -> None:
    original = encode_header(HEADER)
    end = original.index(b"]") + 1
    covered = [*range(9), *range(12, end)]  # between them and behind are zeros that mean nothing

    for place in covered:
        data = bytearray(original)
        data[place] ^= 1
        with pytest.raises(SpoolDamaged):
            decode_header(bytes(data))


@given(st.builds(Drops, st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1)))
def test_drops_are_read_as_written(drops: Drops) -> None:
    assert decode_drops(encode_drops(drops)) == drops
    assert decode_drops(encode_drops(drops)[:-1]) is None


@pytest.mark.parametrize("cut", range(1, 201))
def test_a_tail_that_is_cut_off_costs_only_what_it_hits(spool: Path, cut: int) -> None:
    data = write(spool, numbered(50))
    os.truncate(spool, len(data) - cut)

    whole = 50 - -(-cut // RECORD_BYTES)
    torn = len(data) - cut - HEADER_BYTES - whole * RECORD_BYTES

    found = read(spool)
    assert places(found) == list(range(whole))
    start = HEADER_BYTES + whole * RECORD_BYTES
    assert found[whole:] == ([Damage(start, start + torn)] if torn else [])


def test_each_flipped_bit_costs_its_record_alone_and_is_located(spool: Path) -> None:
    data = write(spool, numbered(30))

    for place in range(HEADER_BYTES, len(data), 3):
        hit, damaged = (place - HEADER_BYTES) // RECORD_BYTES, bytearray(data)
        damaged[place] ^= 1 << place % 8
        spool.write_bytes(damaged)

        found = read(spool)

        start = HEADER_BYTES + hit * RECORD_BYTES
        assert places(found) == [index for index in range(30) if index != hit]
        assert [item for item in found if isinstance(item, Damage)] == [Damage(start, start + RECORD_BYTES)]


def test_damage_larger_than_what_is_read_at_once_is_skipped(spool: Path) -> None:
    write(spool, [*numbered(3), bytes(6 * 1024 * 1024), *numbered(5)])

    found = read(spool)

    assert places(found) == [0, 1, 2, 0, 1, 2, 3, 4]
    damage = [item for item in found if isinstance(item, Damage)]
    assert sum(item.end - item.start for item in damage) == 6 * 1024 * 1024


def test_an_unfinished_record_is_waited_for_while_somebody_writes(spool: Path) -> None:
    *before, last = numbered(3)
    write(spool, [*before, last[:-1]])
    reader = SpoolReader(spool)

    assert places(list(_read_all(reader, final=False))) == [0, 1]
    with spool.open("ab") as file:
        file.write(last[-1:])
    assert places(list(_read_all(reader, final=False))) == [2]
    reader.close()


def test_records_that_become_whole_while_they_are_read_are_not_taken_for_damage(spool: Path) -> None:
    data = write(spool, numbered(20_000))
    os.truncate(spool, HEADER_BYTES)
    reader = SpoolReader(spool)

    def write_in_pieces() -> None:
        with spool.open("ab", buffering=0) as file:
            for start in range(HEADER_BYTES, len(data), 40):  # mostly in the middle of a record
                file.write(data[start : start + 40])

    writing = threading.Thread(target=write_in_pieces)
    writing.start()
    found: list[Record | Damage] = []
    while writing.is_alive() or reader.size > reader.position:
        found += reader.read(100, final=False)
    reader.close()

    assert places(found) == list(range(20_000))
    assert len(found) == 20_000


def test_a_length_that_was_damaged_does_not_hold_up_what_follows(spool: Path) -> None:
    first, second, third = numbered(3)
    broken = second[:4] + struct.pack("<I", 1_000_000) + second[8:]
    write(spool, [first, broken, third])

    found = read(spool, final=False)

    assert places(found) == [0, 2]


def test_the_end_of_a_spool_is_a_record_of_its_own(spool: Path) -> None:
    write(spool, [finish_record()])

    assert [len(item.body) for item in read(spool) if isinstance(item, Record)] == [1]
