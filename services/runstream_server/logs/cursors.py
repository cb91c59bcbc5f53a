"""Where a tail stopped, as a text that clients keep."""

from collections.abc import Sequence

from runstream_server.errors import InvalidPageToken
from runstream_server.logs.aliases import candidates
from runstream_server.logs.errors import InvalidCursor
from runstream_server.names import RunName
from runstream_server.paging import page_token, read_page_token


def cursor(run: RunName, path: str, file: str, offset: int) -> str:
    """The cursor of a tail of `path` that sent everything before `offset` of `file`, empty if it found none."""
    return page_token(_tail(run, path), [str(offset), file])


def read_cursor(text: str, run: RunName, path: str) -> tuple[int, str]:
    """The offset and the file of a cursor; raises InvalidCursor if it is not of a tail of this path."""
    try:
        offset, file = read_page_token(text, _tail(run, path), 2) or ("", "")
    except InvalidPageToken:
        raise InvalidCursor from None
    if not (offset.isdecimal() and offset.isascii() and int(offset) < 2**63):
        raise InvalidCursor
    if file not in ("", *candidates(path)):
        raise InvalidCursor
    return int(offset), file


def _tail(run: RunName, path: str) -> Sequence[str]:
    return ("TailLog", str(run), path)
