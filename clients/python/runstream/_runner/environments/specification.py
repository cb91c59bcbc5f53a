"""Reads conda specifications."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runstream._runner.failures import JobFailed

ENVIRONMENT_ERROR: Final = "EnvironmentError"

_PYTHON: Final = re.compile(r"(?:[\w-]+::)?python(?![\w-])\s*(?P<constraint>.*)")
_PIP: Final = re.compile(r"(?:[\w-]+::)?pip(?![\w-]).*")
_VERSION: Final = re.compile(r"[=\s~]*(?P<version>\d+(?:\.\d+)*)(?:\.\*|=.*)?\s*")
_SDK: Final = re.compile(r"(?i)runstream(?![\w.-])")
_INCLUDE: Final = re.compile(r"(?:-r|--requirement)[=\s]+(?P<file>.+)")
_LOCAL: Final = re.compile(r"(?:-e|--editable|-c|--constraint)\b|\.{0,2}/|file:|\.$")
_MAX_INCLUDES: Final = 20


@dataclass(frozen=True)
class Specification:
    """What an environment consists of."""

    python: str = ""
    """The wanted version, `3.11` or a constraint such as `>=3.9`; empty: any."""
    pip: tuple[str, ...] = ()
    """Lines as in a requirements file."""
    conda: tuple[str, ...] = ()
    """Packages of conda, besides `python` and `pip`."""
    channels: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for but an interpreter, of any version."""
        return not (self.python or self.pip or self.conda)


def read_specification(text: str, folder: Path) -> Specification:
    """Reads a conda specification; the files that it includes are in a folder.

    The SDK itself is left out: the one of the runner is always there.

    Raises:
        JobFailed: It is not such a specification, or needs what cannot be shared between runs.
    """
    document = _load(text)
    entries = [each.strip() for each in document.get("dependencies") or () if isinstance(each, str)]
    pythons = [match["constraint"] for each in entries if (match := _PYTHON.fullmatch(each))]
    conda = [each for each in entries if not _PYTHON.fullmatch(each) and not _PIP.fullmatch(each)]
    return Specification(
        python=_version(pythons[-1]) if pythons else "",
        pip=tuple(_requirements(_pip_lines(document), folder)),
        conda=tuple(conda),
        channels=tuple(str(each) for each in document.get("channels") or ()),
    )


def _load(text: str) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(text) if text.strip() else {}
    except yaml.YAMLError as error:
        raise JobFailed(ENVIRONMENT_ERROR, f"The conda specification is no YAML: {error}") from None
    dependencies = document.get("dependencies") if isinstance(document, dict) else False
    if not (dependencies is None or isinstance(dependencies, list)):
        raise JobFailed(ENVIRONMENT_ERROR, "The conda specification has no list `dependencies`.")
    known: dict[str, Any] = document
    return known


def _pip_lines(document: dict[str, Any]) -> list[str]:
    groups = [each["pip"] for each in document.get("dependencies") or () if isinstance(each, dict) and "pip" in each]
    return [str(line).strip() for group in groups for line in group or ()]


def _requirements(lines: list[str], folder: Path, depth: int = 0) -> list[str]:
    """Requirements with those of included files in place of the references to them."""
    found: list[str] = []
    for line in lines:
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if include := _INCLUDE.fullmatch(text):
            found.extend(_requirements(_included(folder / include["file"].strip(), depth), folder, depth + 1))
        elif _LOCAL.match(text):
            raise JobFailed(
                ENVIRONMENT_ERROR,
                f"The requirement {text!r} is a file of the run, and environments are shared between runs; import it "
                "from the working directory instead.",
            )
        elif text and not _SDK.match(text):
            found.append(text)
    return found


def _included(file: Path, depth: int) -> list[str]:
    if depth >= _MAX_INCLUDES:
        raise JobFailed(ENVIRONMENT_ERROR, f"{file.name} includes itself.")
    try:
        return file.read_text("utf-8").replace("\\\n", " ").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise JobFailed(ENVIRONMENT_ERROR, f"The requirements in {file.name} cannot be read: {error}") from None


def _version(constraint: str) -> str:
    """A version as uv understands it: `3.11` for the conda forms of equality; other constraints stay."""
    constraint = constraint.strip().strip("[]'\"")
    equal = _VERSION.fullmatch(constraint)
    return equal["version"] if equal else constraint.replace(" ", "")
