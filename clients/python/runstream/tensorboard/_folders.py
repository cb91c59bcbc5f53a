"""The local folders of runs: one for each, with a name that every file system takes."""

import re
import unicodedata
from pathlib import Path
from typing import Final

from runstream.exceptions import UserErrorException

OWNER: Final = ".runstream-run"
"""The file in the folder of a run that says which run that is."""
MAX_BYTES: Final = 200
"""Of the name of a folder; file systems have 255."""
MAX_NUMBER: Final = 1_000

_UNSAFE: Final = re.compile(r'[\0-\x1f\x7f-\x9f\ud800-\udfff<>:"/\\|?*]')
_DEVICE: Final = re.compile(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)")


def run_folder(root: Path, wanted: str, run: str) -> Path:
    """The folder below `root` of the run with this resource name, which is made; the same one each time.

    It is called what is wanted as far as that can be, and has a number where another run has that name.

    Raises:
        OSError: It cannot be made.
    """
    name = safe_name(wanted)
    for number in range(1, MAX_NUMBER):
        folder = root / (name if number == 1 else f"{name} ({number})")
        if _take(folder, run):
            return folder
    raise UserErrorException(f"There are {MAX_NUMBER} folders {name!r} in {root} already; choose another one.")


def safe_name(text: str) -> str:
    """The name of a folder that is like a text."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", text)).strip(" ").lstrip(".")
    name = name.encode()[:MAX_BYTES].decode(errors="ignore").rstrip(" .") or "_"
    return f"_{name}" if _DEVICE.match(name) else name


def _take(folder: Path, run: str) -> bool:
    """Whether a folder is that of a run, or becomes so since it is no other run's."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / OWNER).open("x", encoding="utf-8") as file:
            file.write(f"{run}\n")
    except FileExistsError:
        return (folder / OWNER).read_text(encoding="utf-8").strip() in ("", run)
    return True
