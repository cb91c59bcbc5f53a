"""Page tokens: good for the next page of the same listing, and for nothing else."""

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.errors import InvalidField, InvalidPageToken
from runstream_server.paging import fitting, page_size, page_token, read_page_token
from runstream_server.tokens import Signer

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


@pytest.mark.parametrize("content", ["[" * 40_000, "[" * 4_000_000, "{}", '"text"', "1", "nothing", "\xff"])
def test_a_token_that_somebody_made_himself_is_refused_unless_it_says_what_ours_say(content: str) -> None:
    with pytest.raises(InvalidPageToken):
        read_page_token(made_up(content.encode("latin-1")), LISTING, 1)


def test_a_token_with_a_key_is_made_by_those_who_have_it() -> None:
    ours, theirs = Signer(b"secret"), Signer(b"")
    token = ours.seal(LISTING, ["a", 1])

    assert ours.open(LISTING, token) == ["a", 1]
    assert theirs.open(LISTING, token) is None
    assert ours.open(LISTING, theirs.seal(LISTING, ["a", 1])) is None


def made_up(content: bytes) -> str:
    """A token as ours are, but for what it says: page tokens have no key."""
    binding = hashlib.sha256(json.dumps(LISTING, separators=(",", ":")).encode()).digest()
    mac = hmac.digest(b"", binding + content, "sha256")[:16]
    return base64.urlsafe_b64encode(mac + content).decode().rstrip("=")


def test_what_somebody_made_himself_is_taken_if_it_says_what_ours_say() -> None:
    assert read_page_token(made_up(b'["x"]'), LISTING, 1) == ["x"]


def test_a_page_ends_with_the_entry_that_makes_it_too_large() -> None:
    entries = [1_000_000] * 10

    assert len(fitting(entries, int)) == 5
    assert len(fitting([10_000_000] * 3, int)) == 1
    assert fitting(entries[:4], int) == entries[:4]
    assert fitting([], int) == []
