"""What is looked for: bytes, or a regular expression of RE2, whose time is linear."""

import re
from typing import Any, Protocol

import re2

from runstream_server.logs.errors import InvalidPattern


class Pattern(Protocol):
    """Finds places in text. No place has a line feed."""

    def find(self, text: bytes, start: int) -> tuple[int, int] | None:
        """Where the first place at or after `start` begins and ends; None if there is none."""

    def occurs(self, text: bytes) -> bool:
        """Whether it is anywhere in text; lets other threads work meanwhile."""


class Literal:
    """Finds bytes."""

    def __init__(self, wanted: bytes) -> None:
        self._wanted = wanted
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are
        self._compiled: Any = re2.compile(re2.escape(wanted), options)

    def occurs(self, text: bytes) -> bool:
        """Whether the bytes are anywhere: RE2 tells faster than `bytes.find`, and takes longer to tell where."""
        return self._compiled.search(text) is not None

    def find(self, text: bytes, start: int) -> tuple[int, int] | None:
        """Where the bytes stand."""
        place = text.find(self._wanted, start)
        return (place, place + len(self._wanted)) if place >= 0 else None


class Regex:
    """Finds what a regular expression matches; `^` and `$` stand for the beginning and the end of a line."""

    def __init__(self, expression: str, *, literal: bool = False, ignore_case: bool) -> None:
        """`literal` takes the expression for the text itself; raises InvalidPattern if it cannot be searched for."""
        options = re2.Options()
        options.never_nl = True
        options.log_errors = False
        options.case_sensitive = not ignore_case
        source = expression.encode()
        try:
            self._compiled: Any = re2.compile(b"(?m)" + (re2.escape(source) if literal else source), options)
        except re2.error as error:
            raise InvalidPattern(_problem(error)) from error
        if not literal:
            _check_line_by_line(expression)

    def occurs(self, text: bytes) -> bool:
        """Whether the expression matches anywhere."""
        return self._compiled.search(text) is not None

    def find(self, text: bytes, start: int) -> tuple[int, int] | None:
        """Where the expression matches, the leftmost place first."""
        match = self._compiled.search(text, start)
        return match.span() if match else None


_PARTS = re.compile(
    r"""
      \\Q .*? (?: \\E | \Z )                                  # quoted text
    | \\ (?P<escaped> . )
    | \[ \^? \]? (?: \[:\^?\w+:\] | \\. | [^\]\\] )* \]      # a class of characters
    | \( \? [imsU]* - (?P<switched_off> [imsU]+ )
    """,
    re.VERBOSE | re.DOTALL,
)


def _check_line_by_line(expression: str) -> None:
    """Raises InvalidPattern if a valid expression asks where the text begins or ends, and not a line."""
    for part in _PARTS.finditer(expression):
        if part["escaped"] in ("A", "z"):
            found = "\\" + part["escaped"]
            raise InvalidPattern(f"{found}: logs are searched line by line; `^` and `$` are the ends of a line")
        if "m" in (part["switched_off"] or ""):
            raise InvalidPattern("(?-m): logs are searched line by line; `^` and `$` are always the ends of a line")


def _problem(error: Exception) -> str:
    problem = error.args[0] if error.args else ""
    return problem.decode("utf-8", "replace") if isinstance(problem, bytes) else str(problem)


def literal_pattern(wanted: bytes, *, ignore_case: bool) -> Pattern:
    """Finds bytes; without regard to case if they are UTF-8."""
    if not ignore_case:
        return Literal(wanted)
    try:
        return Regex(wanted.decode(), literal=True, ignore_case=True)
    except UnicodeDecodeError as error:
        raise InvalidPattern(f"only text has upper and lower case, and the bytes are not UTF-8: {error}") from None
