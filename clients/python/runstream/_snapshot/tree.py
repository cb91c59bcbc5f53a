"""Walks a source folder."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from runstream._snapshot.ignore import IgnoreRules
from runstream.exceptions import SnapshotException

MAX_FILES: Final = 1_000_000
"""No snapshot has more, whatever its service allows: links to folders can make any number of them out of a few."""
REMEDY: Final = "list it in an .amlignore file in the root of the folder, or take no snapshot (snapshot_directory=None)"


class File(NamedTuple):
    """A file to be stored, as it was when it was seen."""

    path: str
    """In the snapshot: relative, with forward slashes."""
    source: str
    """Where its bytes are."""
    size: int
    """In bytes."""
    is_executable: bool
    """Whether its owner may execute it."""
    version: tuple[int, ...]
    """As `version_of` says."""
    modified_ns: int
    """When it was last written or renamed, in nanoseconds since the Unix epoch."""


@dataclass
class Tree:
    """What a snapshot of a folder has."""

    files: list[File] = field(default_factory=list)
    """In ascending order of path by code point."""
    empty_folders: list[str] = field(default_factory=list)
    """Those without anything that belongs to the snapshot, in ascending order."""
    skipped: list[str] = field(default_factory=list)
    """What cannot be stored and was left out, each with the reason, for people to read."""


def walk(root: Path) -> Tree:
    """Finds what belongs to the snapshot of a folder, links resolved, or of a single file.

    Raises:
        SnapshotException: There is no such folder, something in it cannot be read or has a name that is no text, a link
            leads out of it or back to a folder that has it, or there are more than a million files.
    """
    tree = Tree()
    if root.is_file():
        tree.files.append(_file(root.name, os.path.realpath(root), root.stat()))
        return tree
    if not root.is_dir():
        raise SnapshotException(f"There is no folder {root} to take a snapshot of.")
    _Walk(Path(os.path.realpath(root)), IgnoreRules.of(root), tree).run()
    tree.files.sort()
    tree.empty_folders.sort()
    return tree


class _Folder(NamedTuple):
    path: str
    """In the snapshot, with a slash at its end; empty: the root."""
    real: str
    around: frozenset[str]
    """This folder and those around it, links resolved: what leads back to one of them leads nowhere."""


class _Walk:
    def __init__(self, root: Path, rules: IgnoreRules, tree: Tree) -> None:
        self._root = str(root)
        self._rules = rules
        self._tree = tree

    def run(self) -> None:
        left = [_Folder("", self._root, frozenset((self._root,)))]
        while left:
            folder = left.pop()
            count, inner = len(self._tree.files), list(self._visit(folder))
            left.extend(inner)
            if folder.path and not inner and count == len(self._tree.files):
                self._tree.empty_folders.append(folder.path.rstrip("/"))

    def _visit(self, folder: _Folder) -> Iterator[_Folder]:
        """Takes the files of a folder, and yields the folders in it."""
        try:
            with os.scandir(folder.real) as entries:
                found = list(entries)
        except OSError as error:
            raise _unreadable(folder.path or self._root, error) from None
        for entry in found:
            path = folder.path + entry.name
            inner = self._follow(folder, path, entry) if entry.is_symlink() else self._take(folder, path, entry)
            if inner is not None:
                yield inner
        if len(self._tree.files) > MAX_FILES:
            raise SnapshotException(f"{self._root} has more than {MAX_FILES:,} files; {_remedy_for_folder()}.")

    def _take(self, folder: _Folder, path: str, entry: "os.DirEntry[str]") -> _Folder | None:
        if entry.is_dir(follow_symlinks=False):
            return None if self._rules.omit_folder(path) else self._enter(folder, path, entry.path)
        if not self._rules.omit_file(path):
            self._add(path, entry.path)
        return None

    def _follow(self, folder: _Folder, path: str, entry: "os.DirEntry[str]") -> _Folder | None:
        """Stores what a link points to in its place."""
        if self._rules.omit_file(path) or self._rules.omit_folder(path):
            return None
        target = os.path.realpath(entry.path)
        if target != self._root and not target.startswith(self._root.rstrip("/") + "/"):
            raise SnapshotException(f"The link {path} leads out of the folder, to {target}; {REMEDY}.")
        if os.path.isdir(target):  # noqa: PTH112  (is_dir raises for odd entries)
            return self._enter(folder, path, target)
        self._add(path, target)
        return None

    def _enter(self, folder: _Folder, path: str, real: str) -> _Folder:
        if real in folder.around:
            raise SnapshotException(f"The link {path} leads back to a folder that it is in; {REMEDY}.")
        _check_text(path)
        return _Folder(f"{path}/", real, folder.around | {real})

    def _add(self, path: str, source: str) -> None:
        _check_text(path)
        try:
            status = os.stat(source)  # noqa: PTH116  (a Path for each of thousands of files takes as long as the walk)
        except OSError:
            self._tree.skipped.append(f"{path} is gone, or a link to nothing")
            return
        if stat.S_ISREG(status.st_mode):
            self._tree.files.append(_file(path, source, status))
        else:
            self._tree.skipped.append(f"{path} is {_kind(status.st_mode)}")


def _file(path: str, source: str, status: os.stat_result) -> File:
    modified = max(status.st_mtime_ns, status.st_ctime_ns)
    is_executable = bool(status.st_mode & stat.S_IXUSR)
    return File(path, source, status.st_size, is_executable, version_of(status), modified)


def version_of(status: os.stat_result) -> tuple[int, ...]:
    """Size, times of change in nanoseconds, device and inode: as long as it is the same, so are the bytes."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _check_text(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path)
        raise SnapshotException(
            f"The name {shown!r} is no UTF-8 text, which names of a snapshot are; {REMEDY}."
        ) from None


def _unreadable(path: str, error: OSError) -> SnapshotException:
    return SnapshotException(f"{path} cannot be read: {error.strerror}; {REMEDY}.")


def _remedy_for_folder() -> str:
    return "choose a smaller folder, or list what is not needed in an .amlignore file in its root"
