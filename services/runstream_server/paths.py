"""Paths of the files of a run: relative, with `/` between their parts, safe to make below any folder."""

import re
import unicodedata

from runstream_server.errors import InvalidField

_MAX_BYTES = 1_024
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f]")
_NO_PART = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")


def check_path(path: str, field: str) -> str:
    """Returns `path` if a file of a run can have it; raises InvalidField otherwise. Nothing is repaired."""
    problem = _problem(path)
    if problem is not None:
        raise InvalidField(field, f"{problem}; got {path[:120]!r}")
    return path


def check_new_path(path: str, field: str) -> str:
    """Returns `path` if a file can get it on every system; raises InvalidField otherwise. Nothing is repaired.

    A path in another form than NFC would look like one that is another: whoever takes names from a file system that
    keeps them so normalizes them first. Case stays: to systems of training machines `a` and `A` are two files.
    """
    problem = _problem(path) or _problem_elsewhere(path)
    if problem is not None:
        raise InvalidField(field, f"{problem}; got {path[:120]!r}")
    return path


def _problem_elsewhere(path: str) -> str | None:
    if not unicodedata.is_normalized("NFC", path):
        return "a path is in Unicode form NFC"
    if "\\" in path:
        return "a path has / between its parts, and no backslashes"
    if _DRIVE.match(path):
        return "a path does not start with the letter of a drive"
    return None


def _problem(path: str) -> str | None:
    if not 1 <= len(path.encode()) <= _MAX_BYTES:
        return f"a path has 1 to {_MAX_BYTES} bytes"
    if _NO_PART.search(path):
        return "a path has / between its parts, none of which is empty, `.` or `..`"
    if _CONTROL.search(path):
        return "a path has no control characters"
    return None
