"""Where a tail stopped, as a text that clients keep."""

from collections.abc import Sequence

from runstream_server.errors import InvalidPageToken
from runstream_server.logs.errors import InvalidCursor
from runstream_server.names import RunName
from runstream_server.paging import page_token, read_page_token


def cursor(run: RunName, path: str, offset: int) -> str:
    """The cursor of a tail that sent everything before `offset`."""
    return page_token(_tail(run, path), [str(offset)])


def read_cursor(text: str, run: RunName, path: str) -> int | None:
    """The offset of a cursor; None if it is empty. Raises InvalidCursor if it is not of this file."""
    try:
        (offset,) = read_page_token(text, _tail(run, path), 1) or ("",)
    except InvalidPageToken:
        raise InvalidCursor from None
    if not offset:
        return None
    if not (offset.isdecimal() and offset.isascii() and int(offset) < 2**63):
        raise InvalidCursor
    return int(offset)


def _tail(run: RunName, path: str) -> Sequence[str]:
    return ("TailLog", str(run), path)
