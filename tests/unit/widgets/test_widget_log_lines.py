"""The last lines of a log are shown as a terminal would show them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.widgets._log_lines import MAX_CHARACTERS, MAX_LINES, LogLines, shown


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("plain", "plain"),
        ("windows\r", "windows"),
        ("10%\r20%\r100%", "100%"),
        ("long text\rshort", "shorttext"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text\x1b[K", "text"),
        ("a\tb\x00\x07", "a\tb"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("x" * (MAX_CHARACTERS + 1), "x" * MAX_CHARACTERS + "…"),
    ],
)
def test_a_line_is_shown_as_on_a_terminal(line: str, seen: str) -> None:
    assert shown(line) == seen


@given(st.text(st.sampled_from("ab \r\n\x1b[mé€"), max_size=200), st.lists(st.integers(0, 400), max_size=6))
def test_pieces_make_no_difference(text: str, cuts: list[int]) -> None:
    data, whole, pieces = text.encode(), LogLines(), LogLines()
    whole.feed(data)
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    for begin, end in itertools.pairwise(places):
        pieces.feed(data[begin:end])

    assert pieces.lines() == whole.lines()


def test_the_last_lines_are_kept() -> None:
    log = LogLines()
    log.feed(b"".join(b"%d\n" % number for number in range(2000)) + b"open")

    lines = log.lines()
    assert (len(lines), lines[0], lines[-1]) == (MAX_LINES, "1501", "open")


def test_a_progress_bar_that_never_ends_its_line_takes_no_memory() -> None:
    log = LogLines()
    for number in range(10_000):
        log.feed(b"\rstep %06d" % number)

    assert log.lines() == ["step 009999"]
    assert len(log._open) < 10_000


def test_bytes_that_are_no_text_are_shown_somehow() -> None:
    log = LogLines()
    log.feed(b"\xff\xfe ok\n")

    assert log.lines() == ["\ufffd\ufffd ok"]
