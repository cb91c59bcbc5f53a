"""What artifacts that are logged as metrics are called in a run."""

import unicodedata
from typing import Final

MAX_PATH_BYTES: Final = 900
"""Of the 1,024 that a path may have: the uplink may have to add to it."""
SCHEME: Final = "aml://artifactId/ExperimentRun/dcid."


def artifact_path(name: str) -> str:
    """A name as the path of a file of a run; what such a path cannot have is left out.

    `/tmp/a.png` becomes `tmp/a.png`, `../plots/a.png` becomes `plots/a.png`.
    """
    cleaned = "".join(character for character in name if unicodedata.category(character) not in ("Cc", "Cs"))
    end = cleaned.encode()[-MAX_PATH_BYTES:].decode(errors="ignore")
    return "/".join(part for part in end.split("/") if part not in ("", ".", "..")) or "_"


def artifact_uri(run_id: str, path: str) -> str:
    """How a metric speaks of a file of a run."""
    return f"{SCHEME}{run_id}/{path}"
