"""Artifacts that are logged as metrics: the record, and the file that has the bytes until they are uploaded."""

import contextlib
import json
import os
import shutil
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from runstream._spool.format import ARTIFACT
from runstream._spool.places import STAGED_SUFFIX, files_of
from runstream._spool.records import frame

IMAGE: Final = 1
CONFUSION_MATRIX: Final = 2
ACCURACY_TABLE: Final = 3
RESIDUALS: Final = 4
PREDICTIONS: Final = 5
"""Numbers of `ArtifactKind` in the contract."""

Content: TypeAlias = bytes | Path
"""Bytes, or the file that has them."""


class Artifact(NamedTuple):
    """What an ARTIFACT record holds."""

    number: int
    """Counts the artifacts of a writer from 1; the name of the file, and a sequence for the services."""
    metric: str
    kind: int
    path: str
    """What the file is called in the run. Where the run has another one of this name, it gets a name near it."""
    time: int
    description: str


def artifact_record(artifact: Artifact) -> bytes:
    """An ARTIFACT record."""
    return frame(bytes([ARTIFACT]) + json.dumps(artifact).encode())


def decode_artifact(body: bytes) -> Artifact:
    """What an ARTIFACT record says."""
    return Artifact(*json.loads(body[1:]))


@contextmanager
def staged(group: Path, content: Content) -> Iterator[Path]:
    """A file of the group that has the content, for its owner to move to where it belongs; else it vanishes.

    Raises:
        OSError: It cannot be written.
    """
    group.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = group / f"{uuid.uuid4().hex}{STAGED_SUFFIX}"
    try:
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_bytes(content)
        yield path
    finally:
        path.unlink(missing_ok=True)


class KeptFiles:
    """The files of the artifacts of one writer, by number. The uplink removes them in order, each when it is stored."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sizes: deque[int] = deque()
        self._first = 1
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """How many bytes those have that are not stored."""
        while self._sizes and not self._place(self._first).exists():
            self._size_bytes -= self._sizes.popleft()
            self._first += 1
        return self._size_bytes

    def put(self, file: Path) -> int:
        """Takes a file over; its number.

        Raises:
            OSError: It cannot be moved.
        """
        size, number = file.stat().st_size, self._first + len(self._sizes)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        file.rename(self._place(number))
        self._sizes.append(size)
        self._size_bytes += size
        return number

    def take_back(self) -> None:
        """Removes the file that was put last: nothing speaks of it."""
        self._size_bytes -= self._sizes.pop()
        with contextlib.suppress(OSError):
            self._place(self._first + len(self._sizes)).unlink()

    def _place(self, number: int) -> Path:
        return self._folder / str(number)


def size_of(content: Content) -> int:
    """How many bytes there are.

    Raises:
        OSError: There is no such file.
    """
    return content.stat().st_size if isinstance(content, Path) else len(content)


def kept_bytes(spool: Path) -> int:
    """How many bytes the artifacts of any spool have that are not stored."""
    try:
        with os.scandir(files_of(spool)) as files:
            return sum(_size(file) for file in files)
    except OSError:
        return 0


def _size(file: "os.DirEntry[str]") -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # stored just now
