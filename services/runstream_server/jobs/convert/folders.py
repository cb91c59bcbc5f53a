"""Folders of a working directory, by the parts of their paths."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from runstream_server.errors import InvalidField
from runstream_server.jobs import limits
from runstream_server.jobs.limits import Checks
from runstream_server.paths import check_path


def watched_folders(checks: Checks, field: str, folders: Iterable[str]) -> list[str]:
    """Folders in their plain form, in their order: `./logs/` is `logs`. What is inside of another one is left out."""
    found: list[PurePosixPath] = []
    for index, folder in enumerate(folders):
        checks.filled(f"{field}[{index}]", folder, limits.PLACE)
        path = PurePosixPath(folder)  # which leaves out `.` and empty parts, and nothing else
        if path.is_absolute() or not path.parts:
            problem = "expected a folder inside the working directory, `logs` for example"
            checks.fail(f"{field}[{index}]", f"{problem}; got {folder[:120]!r}")
            continue
        try:
            check_path(str(path), f"{field}[{index}]")
        except InvalidField as wrong:
            checks.fail(f"{field}[{index}]", wrong.message)
        found.append(path)
    return [str(path) for path in dict.fromkeys(found) if not any(path.is_relative_to(o) for o in found if o != path)]
