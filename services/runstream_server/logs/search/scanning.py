"""Tells fast of most text that a pattern is nowhere in it."""

from collections.abc import Sequence
from typing import NamedTuple

from runstream_server.logs.counting import count_line_feeds
from runstream_server.logs.pages import Page
from runstream_server.logs.search.patterns import Pattern

_SMALL_BYTES = 16 * 1024


class ScannedText(NamedTuple):
    """Consecutive text, in parts."""

    parts: Sequence[bytes]
    size_bytes: int
    line_feeds: int

    may_match: bool
    """False: no line matches that begins and ends within it."""


def scanned(page: Page, start: int, pattern: Pattern) -> ScannedText:
    """Decodes the text of a page from `start` on, and looks for the pattern; not for the event loop.

    Raises:
        StoredBytesDamaged: It is not what was stored.
    """
    parts = [part.decode() for part in page.parts]
    counts = [part.line_feeds for part in page.parts]
    if start > page.start_offset:
        parts[0], counts[0] = parts[0][start - page.start_offset :], None
    size = sum(map(len, parts))
    line_feeds = sum(
        count_line_feeds(part) if count is None else count for part, count in zip(parts, counts, strict=True)
    )
    if size < _SMALL_BYTES * len(parts):
        parts = [b"".join(parts)]
    return ScannedText(parts, size, line_feeds, _may_match(parts, pattern))


def _may_match(parts: Sequence[bytes], pattern: Pattern) -> bool:
    """Whether a line may match that begins and ends within the parts."""
    line = b""
    for part in parts:
        end = part.find(b"\n") + 1
        if not end or pattern.occurs(part) or (line and pattern.occurs(line + part[:end])):
            return True
        line = part[part.rfind(b"\n") + 1 :]
    return False
