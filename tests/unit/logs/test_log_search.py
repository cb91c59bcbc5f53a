"""Lines are found whatever the pieces are in which text comes, and patterns mean what the contract says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.logs.errors import InvalidPattern
from runstream_server.logs.pages import Page
from runstream_server.logs.search.lines import LineSearch
from runstream_server.logs.search.model import Line, Match
from runstream_server.logs.search.patterns import Literal, Pattern, Regex, literal_pattern
from runstream_server.logs.search.scanning import scanned

TEXT = st.lists(st.sampled_from([b"a", b"b", b"ab", b"\n", b"xyz ", b"\r", b"\x00"]), max_size=40).map(b"".join)


def search(
    pattern: Pattern, pieces: Sequence[bytes], *, before: int = 0, after: int = 0, search_offset: int = 0
) -> list[Match]:
    lines = LineSearch(pattern, before, after, offset=0, line=1, search_offset=search_offset)
    found = [match for piece in pieces for match in lines.feed([piece])]
    return [*found, *lines.close()]


def search_scanned(
    pattern: Pattern, pieces: Sequence[Sequence[bytes]], *, before: int = 0, after: int = 0, search_offset: int = 0
) -> list[Match]:
    """Searches as a search does: what cannot match is passed over."""
    lines = LineSearch(pattern, before, after, offset=0, line=1, search_offset=search_offset)
    found: list[Match] = []
    offset = 0
    for piece in pieces:
        parts = [StoredPart(offset + sum(map(len, piece[:place])), text) for place, text in enumerate(piece)]
        text = scanned(Page(parts, 0, ()), 0, pattern)
        if text.may_match or not lines.pass_over(text.parts, text.line_feeds):
            found.extend(lines.feed(text.parts))
        offset += text.size_bytes
    return [*found, *lines.close()]


@dataclass(frozen=True)
class StoredPart:
    """Text that needs no decoding."""

    start_offset: int
    text: bytes
    line_feeds: int | None = None

    @property
    def end_offset(self) -> int:
        return self.start_offset + len(self.text)

    def decode(self) -> bytes:
        return self.text


def lines_of(text: bytes) -> list[Line]:
    """All lines of a text."""
    lines, offset = [], 0
    for number, line in enumerate(text.split(b"\n")[: None if text[-1:] != b"\n" else -1], 1):
        lines.append(Line(number, offset, len(line), offset, line))
        offset += len(line) + 1
    return lines if text else []


@given(text=TEXT, cuts=st.lists(st.integers(0, 60), max_size=5), before=st.integers(0, 3), after=st.integers(0, 3))
@pytest.mark.parametrize("regex", ["ab?", "^a", "a$", "b*", "x.z", "(?:a|b){2,}"])
def test_the_lines_that_match_are_found_with_those_around_them(
    regex: str, text: bytes, cuts: list[int], before: int, after: int
) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(edges)]
    lines = lines_of(text)

    found = search(Regex(regex, ignore_case=False), pieces, before=before, after=after)

    wanted = [place for place, line in enumerate(lines) if re.search(regex.encode(), line.data)]
    assert [match.line for match in found] == [lines[place] for place in wanted]
    assert [match.before for match in found] == [lines[max(place - before, 0) : place] for place in wanted]
    assert [match.after for match in found] == [lines[place + 1 : place + 1 + after] for place in wanted]
    for match in found:
        spans = [each.span() for each in re.finditer(regex.encode(), match.line.data)]
        assert match.ranges == [(match.line.offset + s, match.line.offset + e) for s, e in spans if e > s]


@given(
    text=TEXT,
    cuts=st.lists(st.integers(0, 60), max_size=6),
    around=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    search_offset=st.integers(0, 60),
    data=st.data(),
)
@pytest.mark.parametrize("regex", ["ab?", "^x", "z $", "xyz x", r"b\b", "^$", "\r"])
def test_nothing_is_passed_over_that_matters(
    regex: str, text: bytes, cuts: list[int], around: tuple[int, int], search_offset: int, data: st.DataObject
) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parts = [text[start:end] for start, end in pairwise(edges)]
    borders = [0, *sorted(data.draw(st.sets(st.integers(1, len(parts) - 1)))), len(parts)] if len(parts) > 1 else [0, 1]
    pieces = [piece for start, end in pairwise(borders) if (piece := parts[start:end])]
    pattern, (before, after) = Regex(regex, ignore_case=False), around
    options = {"before": before, "after": after, "search_offset": search_offset}

    assert search_scanned(pattern, pieces, **options) == search(pattern, [text], **options)


def test_text_without_a_match_is_passed_over_but_for_its_borders() -> None:
    part = b"".join(b"line %05d\n" % number for number in range(2_000))
    lines = LineSearch(Literal(b"needle"), 3, 0, offset=0, line=1, search_offset=0)

    assert lines.pass_over([part, b"more\n" + part + b"nee"], 4_001)
    assert not lines.pass_over([b"dle\n" + part], 2_001)
    (match,) = lines.feed([b"dle\n" + part])

    assert (match.line.number, match.line.offset, match.line.data) == (4_002, 44_005, b"needle")
    assert [(line.number, line.data) for line in match.before] == [
        (3_999, b"line 01997"),
        (4_000, b"line 01998"),
        (4_001, b"line 01999"),
    ]


@given(wanted=st.binary(min_size=1, max_size=4).filter(lambda each: b"\n" not in each), text=st.binary(max_size=40))
def test_bytes_occur_where_they_are_found(wanted: bytes, text: bytes) -> None:
    for each in (text, text + wanted + text):
        assert Literal(wanted).occurs(each) == (Literal(wanted).find(each, 0) is not None) == (wanted in each)


@given(text=TEXT, search_offset=st.integers(0, 60))
def test_a_search_goes_on_with_the_line_it_is_told(text: bytes, search_offset: int) -> None:
    lines = lines_of(text)
    begin = min((line.offset for line in lines if line.offset >= search_offset), default=len(text))

    found = search(Literal(b"a"), [text], before=1, search_offset=begin)

    assert [match.line for match in found] == [each for each in lines if each.offset >= begin and b"a" in each.data]


def test_a_long_line_is_told_around_its_first_match() -> None:
    text = b"first\n" + b"-" * 10_000_000 + b"needle" + b"-" * 10_000 + b"\nlast"

    (match,) = search(
        Literal(b"needle"), [text[at : at + 999_999] for at in range(0, len(text), 999_999)], before=1, after=1
    )

    assert (match.line.number, match.line.offset, match.line.size_bytes) == (2, 6, 10_010_006)
    assert match.ranges == [(10_000_006, 10_000_012)]
    assert match.line.data_offset == 10_000_006 - 512
    assert len(match.line.data) == 4_096
    assert [line.data for line in (*match.before, *match.after)] == [b"first", b"last"]


def test_a_line_beyond_16_mib_is_searched_in_pieces() -> None:
    text = (b"-" * 1_000_000 + b"needle") * 40

    found = search(Literal(b"needle"), [text[at : at + 1_000_000] for at in range(0, len(text), 1_000_000)])

    assert [match.line.number for match in found] == [1, 1, 1]
    assert sum(match.line.size_bytes for match in found) == len(text)


def test_a_line_is_whole_that_comes_with_the_end_of_a_long_one() -> None:
    lines = LineSearch(Literal(b"needle"), 0, 0, offset=0, line=1, search_offset=0)
    parts = ([b"-" * 15 * 1024 * 1024], [b"-" * 1024 * 1024 + b"\nnee", b"d"], [b"le\n"])

    found = [match for pieces in parts for match in lines.feed(pieces)]

    assert [(match.line.number, match.line.data) for match in found] == [(2, b"needle")]


def test_a_search_goes_on_within_a_line_of_which_more_has_come() -> None:
    (first,) = search(Regex("l.ne|$", ignore_case=False), [b"line"])
    offset, number = first.next_place

    assert search(Regex("l.ne|$", ignore_case=False), [b"line"], search_offset=offset) == []
    (second,) = search(Regex("l.ne|$", ignore_case=False), [b"line, line\n"], search_offset=offset)

    assert (second.line.number, second.ranges) == (number, [(6, 10)])
    assert second.next_place == (11, 2)


def test_places_without_a_byte_are_looked_at_only_in_the_beginning_of_a_line() -> None:
    found = search(Regex("x*", ignore_case=False), [b"-" * 5_000 + b"x\n--xx\n"])

    assert [(match.line.number, match.ranges) for match in found] == [(1, []), (2, [(5_004, 5_006)])]


@pytest.mark.parametrize(
    ("wanted", "text", "count"),
    [(b"Error", b"error\nERROR\nError", 3), ("Ä".encode(), "ä\nÄ".encode(), 2), (b"a.c", b"abc\nA.C", 1)],
)
def test_case_is_ignored_when_asked_for(wanted: bytes, text: bytes, count: int) -> None:
    assert len(search(literal_pattern(wanted, ignore_case=True), [text])) == count


@pytest.mark.parametrize("regex", ["(", "a)(?:b", r"(a)\1", "(?=a)", "((a{900}){900})", "[z-a]"])
def test_an_expression_that_is_wrong_or_not_linear_is_refused(regex: str) -> None:
    with pytest.raises(InvalidPattern):
        Regex(regex, ignore_case=False)


@pytest.mark.parametrize(
    "regex", [r"\Aa", r"a\z", r"(?-m)^a", r"(?i-ms:^a)", r"[a]\A", r"\Q\A\E\A", r"a|(b\z)", r"[]\]]\z"]
)
def test_an_expression_that_asks_for_the_ends_of_the_text_is_refused(regex: str) -> None:
    with pytest.raises(InvalidPattern, match="line by line"):
        Regex(regex, ignore_case=False)


_SYNTAX = ["\\", "A", "z", "Q", "E", "[", "]", "(", ")", "?", "-", "m", "i", ":", "a", "^", "$", "|", "b"]


@given(regex=st.lists(st.sampled_from(_SYNTAX), min_size=1, max_size=12).map("".join), text=TEXT)
def test_what_is_accepted_means_the_same_wherever_text_is_cut(regex: str, text: bytes) -> None:
    try:
        pattern = Regex(regex, ignore_case=False)
    except InvalidPattern:
        return
    lines = [line for line in lines_of(text) if line.size_bytes]

    alone = [line.number for line in lines if pattern.occurs(line.data)]

    found = {match.line.number for match in search(pattern, [text])}
    assert [line.number for line in lines if line.number in found] == alone


@pytest.mark.parametrize(
    "regex", [r"\\A", r"\Q\A\z", r"\Q\z\E", r"(?m-i)a", r"(?-i:m)", "A|z", r"[\\A]", r"[[:alpha:]z]"]
)
def test_an_expression_that_only_looks_like_it_is_not_refused(regex: str) -> None:
    Regex(regex, ignore_case=False)


def test_bytes_that_are_no_text_have_no_case() -> None:
    with pytest.raises(InvalidPattern):
        literal_pattern(b"\xff", ignore_case=True)


def test_an_expression_that_would_explode_elsewhere_takes_linear_time() -> None:
    assert search(Regex("(a|aa)+$", ignore_case=False), [b"a" * 100_000 + b"!\n"]) == []


def test_nothing_matches_across_lines() -> None:
    assert search(Regex(r"a\s+b|a[^x]b|(?s)a.b", ignore_case=False), [b"a\nb\n"]) == []
