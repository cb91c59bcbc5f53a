"""The last lines of a log as a terminal would show them."""

import codecs
import re
from collections import deque
from typing import Final

MAX_LINES: Final = 500
MAX_CHARACTERS: Final = 2000
"""Of a line; more is cut, with a mark."""

MAX_OPEN: Final = 8192
"""Of the line that goes on; when a progress bar has written more, what it shows takes its place."""

CONTROL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
"""Escape codes (colours, titles, movements) and other control characters but tab, line feed and carriage return."""


class LogLines:
    """Takes the bytes of a log, whatever they are, and keeps its last lines."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._open = ""

    def feed(self, data: bytes) -> None:
        """Takes what comes next."""
        *complete, self._open = (self._open + self._decoder.decode(data)).split("\n")
        self._lines.extend(shown(line) for line in complete[-MAX_LINES:])
        if len(self._open) > MAX_OPEN:
            self._open = shown(self._open)

    def lines(self) -> list[str]:
        """Up to 500 lines; the last one may go on."""
        unfinished = [shown(self._open)] if self._open else []
        return [*self._lines, *unfinished][-MAX_LINES:]


def shown(line: str) -> str:
    """A line as it stands when carriage returns have moved back to its beginning and it was written over."""
    written = ""
    for part in CONTROL.sub("", line).split("\r"):
        written = part + written[len(part) :]
    return written if len(written) <= MAX_CHARACTERS else f"{written[:MAX_CHARACTERS]}…"
