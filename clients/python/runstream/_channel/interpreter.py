"""What processes of our own need, which this package starts."""

import os
from pathlib import Path
from typing import Final

import runstream

PATHS: Final = ("RUNSTREAM_TOKEN_FILE", "RUNSTREAM_CA_FILE")
"""Variables with files that are to be found from other folders too."""


def package_environment() -> dict[str, str]:
    """This environment, in which another Python finds this very package even where only `sys.path` leads to it."""
    environment = dict(os.environ)
    environment.update({name: os.path.abspath(environment[name]) for name in PATHS if environment.get(name)})  # noqa: PTH100
    folder = Path(runstream.__file__).parent.parent
    if folder.name not in ("site-packages", "dist-packages"):
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{known}{os.pathsep}{folder}" if known else str(folder)
    return environment
