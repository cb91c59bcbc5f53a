"""Pages of listings: how many entries, and where to go on."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from runstream_server.errors import InvalidField, InvalidPageToken

T = TypeVar("T")

_PAGE_BYTES = 4 * 1024 * 1024
_BOUND_BYTES = 8
_MAX_CHARACTERS = 65_536


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

    It is bound to `listing`, which says what is listed: name of the method, parent, filters, order.
    """
    return base64.urlsafe_b64encode(_bound(listing) + json.dumps(list(last)).encode()).decode()


def read_page_token(token: str, listing: Sequence[str], length: int) -> Sequence[str] | None:
    """The key, of `length` parts, of the last entry of the page before; None for the first page.

    Raises:
        InvalidPageToken: The token is not from an earlier page of the same listing.
    """
    if not token:
        return None
    if len(token) > _MAX_CHARACTERS:
        raise InvalidPageToken
    try:
        data = base64.b64decode(token, altchars=b"-_", validate=True)
        last = json.loads(data[_BOUND_BYTES:])
    except (binascii.Error, UnicodeError, ValueError, RecursionError):
        raise InvalidPageToken from None
    parts = last if isinstance(last, list) and len(last) == length else []
    if data[:_BOUND_BYTES] != _bound(listing) or not parts or not all(_is_text(part) for part in parts):
        raise InvalidPageToken
    return parts


def _bound(listing: Sequence[str]) -> bytes:
    return hashlib.sha256(json.dumps(list(listing)).encode()).digest()[:_BOUND_BYTES]


def _is_text(part: object) -> bool:
    """Whether Postgres takes it as text."""
    return isinstance(part, str) and "\0" not in part and not any("\ud800" <= each <= "\udfff" for each in part)
