"""Files that only this user can read."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Puts a text in a file that only this user can read; who reads it finds what was in it before, or all of this.

    Raises:
        OSError: It cannot be written.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    new.replace(path)
