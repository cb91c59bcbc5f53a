"""Aliases, cursors, chunks and slices of logs."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.logs.aliases import candidates
from runstream_server.logs.chunks import StoredText, decode_text, encode_text
from runstream_server.logs.cursors import cursor, read_cursor
from runstream_server.logs.errors import InvalidCursor
from runstream_server.logs.pages import Page
from runstream_server.logs.slices import slices
from runstream_server.names import RunName
from runstream_server.paging import page_token

RUN = RunName("space", "run")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_the_older_name_of_the_driver_log_means_the_newer_one() -> None:
    assert candidates("azureml-logs/70_driver_log.txt") == ["azureml-logs/70_driver_log.txt", "user_logs/std_log.txt"]


def test_the_older_name_of_a_rank_means_the_newer_one_however_it_is_padded() -> None:
    assert candidates("azureml-logs/70_driver_log_7.txt")[1:] == [
        "user_logs/std_log_process_7.txt",
        "user_logs/std_log_process_07.txt",
        "user_logs/std_log_process_007.txt",
        "user_logs/std_log_process_0007.txt",
    ]


def test_rank_zero_may_be_the_only_process() -> None:
    assert candidates("azureml-logs/70_driver_log_0.txt")[-1] == "user_logs/std_log.txt"


@pytest.mark.parametrize("path", ["user_logs/std_log.txt", "azureml-logs/70_driver_log_x.txt", "70_driver_log.txt"])
def test_any_other_path_means_itself(path: str) -> None:
    assert candidates(path) == [path]


@given(st.integers(0, 2**63 - 1))
def test_a_cursor_brings_back_its_offset(offset: int) -> None:
    assert read_cursor(cursor(RUN, "a.txt", "a.txt", offset), RUN, "a.txt") == (offset, "a.txt")


@pytest.mark.parametrize(
    "text",
    [
        cursor(RUN, "b.txt", "b.txt", 1),
        cursor(RUN, "a.txt", "b.txt", 1),
        cursor(RunName("space", "other"), "a.txt", "", 1),
        page_token(("TailLog", str(RUN), "a.txt"), ["1"]),
        page_token(("TailLog", str(RUN), "a.txt"), ["-1", ""]),
        page_token(("TailLog", str(RUN), "a.txt"), [str(2**63), ""]),
        page_token(("TailLog", str(RUN), "a.txt"), ["x", ""]),
        "x",
    ],
)
def test_a_cursor_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        read_cursor(text, RUN, "a.txt")


@given(st.binary(min_size=1, max_size=1_000))
def test_text_comes_back_byte_for_byte(data: bytes) -> None:
    assert decode_text(encode_text(data * 10), len(data) * 10) == data * 10


@given(st.binary(min_size=1, max_size=300), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_a_flipped_bit_in_text_is_noticed(data: bytes, where: float, bit: int) -> None:
    content = bytearray(encode_text(data))
    content[int(where * len(content))] ^= 1 << bit

    with pytest.raises(StoredBytesDamaged):
        decode_text(bytes(content), len(data))


@given(pieces=st.lists(st.binary(min_size=1, max_size=5), min_size=1, max_size=9), data=st.data())
def test_a_range_of_bytes_is_what_was_written_there_and_knows_its_line(
    pieces: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(pieces)
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start + 1, len(whole)))

    (read,) = slices(page(stored(pieces)).decode(), start, end)

    assert read.data == whole[start:end]
    assert (read.offset, read.line) == (start, 1 + whole.count(b"\n", 0, start))
    assert read.marks[-1].end_offset >= end


def test_a_missing_chunk_is_noticed() -> None:
    first, _, third = stored([b"one", b"two", b"three"])

    with pytest.raises(StoredBytesDamaged):
        page([first, third]).decode()


def test_messages_are_bounded() -> None:
    read = list(slices(page(stored([b"x" * 1_000_000])).decode(), 0, 1_000_000))

    assert max(len(part.data) for part in read) == 256 * 1024
    assert sum(len(part.data) for part in read) == 1_000_000


def page(chunks: list[StoredText]) -> Page:
    return Page(chunks, 0, [chunk.mark for chunk in chunks])


def stored(pieces: list[bytes]) -> list[StoredText]:
    chunks, offset = [], 0
    for piece in pieces:
        chunks.append(StoredText(offset, len(piece), piece.count(b"\n"), NOON, NOON, encode_text(piece)))
        offset += len(piece)
    return chunks
