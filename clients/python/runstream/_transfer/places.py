"""Where files of runs and snapshots may be written: below one folder, each at a place of its own, and nowhere else."""

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from runstream.exceptions import UserErrorException

PROBE: Final = ".runstream-é"
_DRIVE: Final = re.compile(r"[A-Za-z]:")


def problem_of(path: str) -> str:
    """Why a path cannot be that of a file of a run or a snapshot; empty: it can."""
    parts = path.split("/")
    if not path or "" in parts:
        return "it has an empty part"
    if "." in parts or ".." in parts:
        return "it has the part . or .."
    if "\\" in path or _DRIVE.match(path):
        return "it has a backslash, or a drive first"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        return "it has a control character"
    return ""


class Below:
    """The places below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._real = os.path.realpath(folder)
        self._safe = {folder}

    def place(self, path: str) -> Path:
        """The place of a file.

        Raises:
            UserErrorException: The path leads out of the folder, by itself or by a link that is there.
        """
        if problem := problem_of(path):
            raise UserErrorException(f"The file name {path!r} cannot be written below a folder: {problem}.")
        target = self._folder / path
        self._check(path, target.parent)
        return target

    def _check(self, path: str, parent: Path) -> None:
        if parent in self._safe:
            return
        self._check(path, parent.parent)
        if parent.is_symlink() and not Path(os.path.realpath(parent)).is_relative_to(self._real):
            raise UserErrorException(f"The file name {path!r} leads out of {self._folder}, by the link {parent}.")
        self._safe.add(parent)


def check_distinct(folder: Path, targets: Iterable[Path]) -> None:
    """Sees that no two files would be written to one place, where the file system takes names for the same.

    Raises:
        UserErrorException: Two would.
    """
    seen: dict[str, Path] = {}
    for target in targets:
        other = seen.setdefault(_folded(target), target)
        if other is not target and (other == target or _takes_for_same(_existing(folder))):
            raise UserErrorException(f"{other} and {target} are one place on this file system; choose other targets.")


def _existing(folder: Path) -> Path:
    """A folder, or the nearest one around it that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _folded(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path).casefold())


def _takes_for_same(folder: Path) -> bool:
    """Whether the file system of a folder takes names for the same that differ by case or Unicode form."""
    probe = folder / f"{PROBE}-{os.getpid()}"
    alike = (probe.name.upper(), unicodedata.normalize("NFD", probe.name))
    try:
        probe.touch()
        return any((folder / name).exists() for name in alike)
    finally:
        probe.unlink(missing_ok=True)
