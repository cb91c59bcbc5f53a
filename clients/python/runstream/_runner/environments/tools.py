"""The programs that make environments."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

CONDAS: Final = ("micromamba", "mamba", "conda")


def find_uv(variables: Mapping[str, str]) -> str:
    """The program uv: by `PATH`, else of the package of this name; empty: there is none."""
    found = shutil.which("uv", path=variables.get("PATH"))
    if found:
        return found
    beside = Path(sys.executable).parent / "uv"
    if os.access(beside, os.X_OK):
        return str(beside)
    if importlib.util.find_spec("uv") is None:
        return ""
    from uv import find_uv_bin  # type: ignore[import-not-found]

    try:
        return str(find_uv_bin())
    except FileNotFoundError:
        return ""


def find_conda(variables: Mapping[str, str]) -> str:
    """A program that makes conda environments; empty: there is none."""
    names = (*CONDAS, variables.get("MAMBA_EXE", ""), variables.get("CONDA_EXE", ""))
    return next((found for name in names if name and (found := shutil.which(name, path=variables.get("PATH")))), "")
