"""What processes of our own need, which this package starts."""

import os
from pathlib import Path

import runstream


def package_environment() -> dict[str, str]:
    """This environment, in which another Python finds this very package even where only `sys.path` leads to it."""
    environment = dict(os.environ)
    folder = Path(runstream.__file__).parent.parent
    if folder.name not in ("site-packages", "dist-packages"):
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{known}{os.pathsep}{folder}" if known else str(folder)
    return environment
