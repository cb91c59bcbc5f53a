"""Page tokens: good for the next page of the same listing, and for nothing else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.errors import InvalidField, InvalidPageToken
from runstream_server.paging import fitting, page_size, page_token, read_page_token

LISTING = ("ListThings", "workspaces/space", "")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_a_token_brings_back_where_the_page_ended(last: list[str]) -> None:
    assert read_page_token(page_token(LISTING, last), LISTING, len(last)) == last


def test_no_token_means_the_first_page() -> None:
    assert read_page_token("", LISTING, 1) is None


@pytest.mark.parametrize("listing", [("ListThings", "workspaces/other", ""), ("ListThings", "workspaces/space", "x")])
def test_a_token_of_another_listing_is_refused(listing: tuple[str, ...]) -> None:
    with pytest.raises(InvalidPageToken):
        read_page_token(page_token(listing, ["x"]), LISTING, 1)


@pytest.mark.parametrize("last", [["a", "b"], [], ["\0"], ["\ud800"], [1]])
def test_a_token_with_another_key_is_refused(last: list[str]) -> None:
    with pytest.raises(InvalidPageToken):
        read_page_token(page_token(LISTING, last), LISTING, 1)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_a_made_up_token_is_refused(token: bytes | str) -> None:
    text = token if isinstance(token, str) else base64.urlsafe_b64encode(token).decode()
    if text:
        with pytest.raises(InvalidPageToken):
            read_page_token(text, LISTING, 1)


def test_a_page_size_of_zero_is_the_default() -> None:
    assert [page_size(asked, 100, 1_000) for asked in (0, 1, 1_000)] == [100, 1, 1_000]


@pytest.mark.parametrize("asked", [-1, 1_001])
def test_another_page_size_is_refused(asked: int) -> None:
    with pytest.raises(InvalidField):
        page_size(asked, 100, 1_000)


@pytest.mark.parametrize("deep", ["[" * 40_000, "[" * 4_000_000])
def test_a_token_that_goes_deep_or_on_and_on_is_refused(deep: str) -> None:
    with pytest.raises(InvalidPageToken):
        read_page_token(base64.urlsafe_b64encode(b"12345678" + deep.encode()).decode(), LISTING, 1)


def test_a_page_ends_with_the_entry_that_makes_it_too_large() -> None:
    entries = [1_000_000] * 10

    assert len(fitting(entries, int)) == 5
    assert len(fitting([10_000_000] * 3, int)) == 1
    assert fitting(entries[:4], int) == entries[:4]
    assert fitting([], int) == []
