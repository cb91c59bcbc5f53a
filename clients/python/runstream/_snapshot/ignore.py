"""What of a source folder is left out of a snapshot."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from runstream._snapshot.patterns import parse_pattern
from runstream.exceptions import SnapshotException

IGNORE_FILES: Final = (".amlignore", ".gitignore")
"""The first of them that is in the root of the folder counts, and no other."""
DEFAULTS: Final = (".git", "__pycache__", ".ipynb_checkpoints")
"""Left out unless a negated pattern brings them back."""


class IgnoreRules:
    """Patterns in the language of gitignore; the last one that matches a path decides."""

    def __init__(self, lines: Iterable[str], file: str = "") -> None:
        """`file` is the name of the ignore file in the root, which is never left out."""
        patterns = [pattern for line in (*DEFAULTS, *lines) if (pattern := parse_pattern(line)) is not None]
        self._folders = [(each.regex.fullmatch, each.is_negated) for each in reversed(patterns)]
        self._files = [
            (each.regex.fullmatch, each.is_negated) for each in reversed(patterns) if not each.is_for_folders
        ]
        self._file = file

    @classmethod
    def of(cls, root: Path) -> "IgnoreRules":
        """The rules of a source folder.

        Raises:
            SnapshotException: Its ignore file cannot be read.
        """
        for name in IGNORE_FILES:
            if os.path.isfile(root / name):  # noqa: PTH113  (is_file raises for odd entries)
                return cls(_lines(root / name), name)
        return cls(())

    def omit_file(self, path: str) -> bool:
        """Whether a file is left out; `path` is relative to the root, with forward slashes."""
        return path != self._file and _omit(self._files, path)

    def omit_folder(self, path: str) -> bool:
        """Whether a folder is left out with everything below it: nothing there can be brought back."""
        return _omit(self._folders, path)


def _omit(last_first: Iterable[tuple[Callable[[str], object], bool]], path: str) -> bool:
    return next((not is_negated for matches, is_negated in last_first if matches(path)), False)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8-sig", "surrogateescape").split("\n")
    except OSError as error:
        raise SnapshotException(f"The ignore file {file} cannot be read: {error.strerror}.") from None
