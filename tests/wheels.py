"""Packages for tests, in a folder that stands for an index."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

LATE = "99.0"
"""A version that every lower bound admits."""


def make_wheels(folder: Path, names: Iterable[str], version: str = LATE) -> Path:
    """Makes packages with a module of the same name that has nothing but `VERSION`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        _make_wheel(folder, name.replace("-", "_"), version)
    return folder


def _make_wheel(folder: Path, name: str, version: str) -> None:
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{about}/RECORD": record}.items():
            wheel.writestr(path, text)
