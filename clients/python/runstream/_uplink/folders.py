"""Finds the files of followed folders."""

import os
from pathlib import Path
from typing import Final, TypeAlias

MAX_FILES: Final = 1_000
"""Files of one folder that are followed."""

FoundFile: TypeAlias = tuple[str, Path]
"""The path of a log, and the file that becomes it."""


def find_files(prefix: str, root: Path) -> tuple[list[FoundFile], list[Path]]:
    """The files of a folder with their log paths, and the folders they are in, without what is hidden.

    Where there are more than `MAX_FILES`, it is one more than that.
    """
    found: list[FoundFile] = []
    folders: list[Path] = []
    for folder, subfolders, names in os.walk(root):
        folders.append(Path(folder))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and os.path.isfile(path):  # noqa: PTH113  (is_file raises for odd entries)
                found.append(("/".join(filter(None, (prefix, path.relative_to(root).as_posix()))), path))
        if len(found) > MAX_FILES:
            break
    return found[: MAX_FILES + 1], folders
