"""The folder of outputs that a run tracks."""

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_FOLDER = "outputs"


@dataclass(frozen=True)
class TrackedOutputs:
    """A local folder whose files become files of the run when it ends."""

    folder: Path
    """Absolute, so that it stays the same when the working directory changes."""

    prefix: str
    """What the names of the files start with."""


def track_outputs(outputs: str | os.PathLike[str] | bool | None, *, default: bool) -> TrackedOutputs | None:
    """What to track: `./outputs` for True, a folder by its name, nothing for False, for None as `default` says.

    The folder is made if it does not exist.
    """
    chosen = default if outputs is None else outputs
    if chosen is False:
        return None
    given = Path(DEFAULT_FOLDER if chosen is True else chosen)
    folder = given.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    below = not given.is_absolute() and ".." not in given.parts and given.parts
    return TrackedOutputs(folder, given.as_posix() if below else folder.name)
