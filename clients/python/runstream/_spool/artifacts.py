"""Artifacts that are logged as metrics: the record, and the file that has the bytes until they are uploaded."""

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from runstream._spool.format import ARTIFACT
from runstream._spool.places import STAGED_SUFFIX
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
