"""Makes this very SDK visible in environments of jobs."""

import importlib.metadata
import shutil
from pathlib import Path
from typing import Final

import runstream

MINIMUM_PYTHON: Final = (3, 11)
PATH_FILE: Final = "runstream_sdk.pth"
_INSTALLED: Final = ("site-packages", "dist-packages")


def sdk_identity() -> str:
    """What tells this SDK from others: its version, and for a checkout its place."""
    place = Path(runstream.__file__).parent.parent
    return _version() if place.name in _INSTALLED else f"{_version()} {place}"


def sdk_requirements() -> list[str]:
    """What the SDK needs, as in a requirements file."""
    try:
        return [each for each in importlib.metadata.requires("runstream") or () if "extra ==" not in each]
    except importlib.metadata.PackageNotFoundError:
        return []


def add_sdk(site_packages: Path) -> None:
    """Has an environment find the SDK: a checkout where it is, an installed one as a copy.

    With it goes what tells its version and what it needs, since runs that a run submits are executed by the environment
    of that one, and what it offers to others: MLflow finds the token of the run by that.

    Raises:
        OSError: It cannot be written.
    """
    _add_metadata(site_packages)
    package = Path(runstream.__file__).parent
    if package.parent.name in _INSTALLED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, site_packages / package.name, ignore=ignored, dirs_exist_ok=True)
    else:
        (site_packages / PATH_FILE).write_text(f"{package.parent}\n", "utf-8")


def _add_metadata(site_packages: Path) -> None:
    try:
        known = importlib.metadata.distribution("runstream")
    except importlib.metadata.PackageNotFoundError:
        return
    folder = site_packages / f"runstream-{known.version}.dist-info"
    folder.mkdir(exist_ok=True)
    for name in ("METADATA", "entry_points.txt"):
        (folder / name).write_text(known.read_text(name) or "", "utf-8")


def _version() -> str:
    try:
        return importlib.metadata.version("runstream")
    except importlib.metadata.PackageNotFoundError:
        return ""
