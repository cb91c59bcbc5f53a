"""Pages of listings: how many entries, and where to go on."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from runstream_server.errors import InvalidField, InvalidPageToken
from runstream_server.tokens import Signer

T = TypeVar("T")

_PAGE_BYTES = 4 * 1024 * 1024
_UNKEYED = Signer(b"")


def page_size(requested: int, default: int, most: int) -> int:
    """How many entries a page has; 0 asks for the default. Raises InvalidField on anything outside of 0 to `most`."""
    if not 0 <= requested <= most:
        raise InvalidField("page_size", f"expected 1 to {most}, or 0 for {default}; got {requested}")
    return requested or default


def fitting(page: Sequence[T], size_bytes: Callable[[T], int]) -> Sequence[T]:
    """The first entries, at least one, up to the one that takes them past what a page may."""
    room = _PAGE_BYTES
    for place, entry in enumerate(page):
        room -= size_bytes(entry)
        if room < 0:
            return page[: place + 1]
    return page


def page_token(listing: Sequence[str], last: Sequence[str]) -> str:
    """The token of the page after the entry with the key `last`.

    It is bound to `listing`, which says what is listed: name of the method, parent, filters, order. It has no key: all
    that a made-up one could say is behind which name the page begins.
    """
    return _UNKEYED.seal(listing, last)


def read_page_token(token: str, listing: Sequence[str], length: int) -> Sequence[str] | None:
    """The key, of `length` parts, of the last entry of the page before; None for the first page.

    Raises:
        InvalidPageToken: The token is not from an earlier page of the same listing.
    """
    if not token:
        return None
    last = _UNKEYED.open(listing, token) or ()
    parts = [part for part in last if isinstance(part, str) and _is_text(part)]
    if not parts or not len(parts) == len(last) == length:
        raise InvalidPageToken
    return parts


def _is_text(part: str) -> bool:
    """Whether Postgres takes it as text."""
    return "\0" not in part and not any("\ud800" <= each <= "\udfff" for each in part)
