"""Listing by prefix: a range of paths by code point."""

from hypothesis import given
from hypothesis import strategies as st

from runstream_server.artifacts.rules import after_prefix

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(TEXT, TEXT)
def test_a_path_is_in_the_range_exactly_when_it_starts_with_the_prefix(path: str, prefix: str) -> None:
    beyond = after_prefix(prefix)

    assert path.startswith(prefix) == (path >= prefix and (beyond is None or path < beyond))


@given(TEXT, TEXT)
def test_whatever_follows_the_prefix_is_in_the_range(prefix: str, rest: str) -> None:
    beyond = after_prefix(prefix)

    assert beyond is None or prefix + rest < beyond


def test_the_range_steps_over_code_points_that_are_no_characters() -> None:
    assert after_prefix("a\ud7ff") == "a\ue000"
    assert after_prefix("a\U0010ffff") == "b"
    assert after_prefix("\U0010ffff") is None
