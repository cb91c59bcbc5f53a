"""The pattern language of gitignore: each pattern as a regular expression for paths.

A pattern is asked about one path at a time and says nothing of what is below it: whoever walks a tree does not enter a
folder that is left out. Libraries answer for whole paths at once instead, so that a negated folder brings everything
below it back, which git does not do.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

CLASSES: Final = {
    "alnum": r"a-zA-Z0-9",
    "alpha": r"a-zA-Z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": r"0-9",
    "graph": r"!-~",
    "lower": r"a-z",
    "print": r" -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": r"A-Z",
    "xdigit": r"0-9a-fA-F",
}
_CLASS: Final = re.compile(r"\[:([a-z]+):\]")


class Pattern(NamedTuple):
    """One line of an ignore file."""

    regex: re.Pattern[str]
    """Matches whole paths."""
    is_negated: bool
    """Whether it brings back what an earlier one left out."""
    is_for_folders: bool
    """Whether it says nothing of files."""


class _Impossible(Exception):
    """The pattern is broken and matches nothing."""


def parse_pattern(line: str) -> Pattern | None:
    """The pattern of a line; None: a comment, an empty one, or one that can match nothing."""
    text = _without_end(line.rstrip("\r\n"))
    if not text or text.startswith("#"):
        return None
    is_negated = text.startswith("!")
    text = text[1:] if is_negated else text
    is_for_folders = text.endswith("/")
    body = text[:-1] if is_for_folders else text
    start = "" if "/" in body else "(?:.*/)?"
    try:
        regex = re.compile(start + "".join(_translate(body.removeprefix("/"))), re.DOTALL)
    except (_Impossible, re.error):
        return None
    return Pattern(regex, is_negated, is_for_folders)


def _without_end(line: str) -> str:
    """A line without the spaces at its end, but for one that a backslash protects."""
    bare = line.rstrip(" ")
    backslashes = len(bare) - len(bare.rstrip("\\"))
    return bare + " " if backslashes % 2 and len(bare) < len(line) else bare


def _translate(pattern: str) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        if pattern[at] == "*":
            piece, at = _stars(pattern, at)
        elif pattern[at] == "?":
            piece, at = "[^/]", at + 1
        elif pattern[at] == "[":
            piece, at = _bracket(pattern, at)
        else:
            character, at = _character(pattern, at)
            piece = re.escape(character)
        yield piece


def _stars(pattern: str, at: int) -> tuple[str, int]:
    """Stars, which go across folders where two of them are all of a part."""
    end = at
    while end < len(pattern) and pattern[end] == "*":
        end += 1
    is_part = end - at == 2 and (at == 0 or pattern[at - 1] == "/")
    if is_part and end == len(pattern):
        return ".+", end
    if is_part and pattern[end] == "/":
        return "(?:.*/)?", end + 1
    return "[^/]*", end


def _bracket(pattern: str, start: int) -> tuple[str, int]:
    """A set of characters; a slash is never in it."""
    at = start + 1
    is_negated = pattern[at : at + 1] in ("!", "^")
    at += is_negated
    pieces: list[str] = []
    while not pieces or pattern[at : at + 1] != "]":
        piece, at = _member(pattern, at)
        pieces.append(piece)
    return f"(?!/)[{'^' * is_negated}{''.join(pieces)}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    """A class, a range or one character of a set."""
    if (named := _CLASS.match(pattern, at)) is not None:
        if named[1] not in CLASSES:
            raise _Impossible
        return CLASSES[named[1]], named.end()
    first, at = _character(pattern, at)
    if pattern[at : at + 1] != "-" or pattern[at + 1 : at + 2] in ("]", ""):
        return re.escape(first), at
    last, at = _character(pattern, at + 1)
    return (f"{re.escape(first)}-{re.escape(last)}" if first <= last else ""), at


def _character(pattern: str, at: int) -> tuple[str, int]:
    """A character for itself, after a backslash too."""
    at += pattern[at : at + 1] == "\\"
    if at >= len(pattern):
        raise _Impossible
    return pattern[at], at + 1
