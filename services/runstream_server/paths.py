"""Paths of the files of a run: relative, with `/` between their parts, safe to make below any folder."""

import unicodedata

from runstream_server.errors import InvalidField

_MAX_BYTES = 1_024


def check_path(path: str, field: str) -> str:
    """Returns `path` if a file of a run can have it; raises InvalidField otherwise. Nothing is repaired."""
    problem = _problem(path)
    if problem is not None:
        raise InvalidField(field, f"{problem}; got {path[:120]!r}")
    return path


def _problem(path: str) -> str | None:
    if not 1 <= len(path.encode()) <= _MAX_BYTES:
        return f"a path has 1 to {_MAX_BYTES} bytes"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "a path has / between its parts, none of which is empty, `.` or `..`"
    if any(unicodedata.category(character) == "Cc" for character in path):
        return "a path has no control characters"
    return None
