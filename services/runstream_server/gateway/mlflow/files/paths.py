"""Reads the paths of artifacts in URLs. Whatever would lead out of a folder is refused, however it is spelled."""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

from runstream_server.errors import InvalidField
from runstream_server.gateway.mlflow.errors import MlflowError, wrong
from runstream_server.paths import check_new_path

MODEL_ID = re.compile(r"m-[0-9a-f]{32}")

_OF_MODEL = re.compile(r"(?P<experiment>[^/]+)/models/(?P<owner>m-[0-9a-f]{32})/artifacts(?:/(?P<path>.*))?", re.DOTALL)
_OF_RUN = re.compile(r"(?P<experiment>[^/]+)/(?P<owner>[^/]+)/artifacts(?:/(?P<path>.*))?", re.DOTALL)
_MOST_ENCODINGS = 4
_CONTROL = re.compile(r"[\x01-\x1f\x7f-\x9f]")
"""Leads nowhere. Pictures of older clients have names such as `dogs%step%17%timestamp`."""


@dataclass(frozen=True, slots=True)
class Location:
    """What a path of the artifact server names: a file or a folder of a run, or of a logged model."""

    experiment_id: str

    run_id: str
    """Empty: it is one of a model."""

    model_id: str
    """Empty: it is one of a run."""

    path: str
    """Below the root of the run or model; empty: that itself."""


def read_location(raw: str) -> Location:
    """Reads the end of the path of a URL as it was sent; raises MlflowError."""
    return _located(_decoded(raw))


def asked_location(path: str) -> Location:
    """Reads the parameter `path` of a query, which was decoded once; raises MlflowError."""
    return _located(checked_path(path))


def checked_path(path: str) -> str:
    """A path that was decoded once, without a `/` at its end; it may be empty. Raises MlflowError."""
    shown = unicodedata.normalize("NFC", path.removesuffix("/") if path != "/" else path)
    if shown:
        _check(shown)
        _check(_wholly_decoded(shown))
    return shown


def invalid_path() -> MlflowError:
    """A path leads to where nobody may."""
    return wrong("Invalid path")


def _decoded(raw: str) -> str:
    try:
        return checked_path(unquote(raw, errors="strict"))
    except UnicodeDecodeError:
        raise invalid_path() from None


def _wholly_decoded(path: str) -> str:
    """What is left when nothing can be decoded any more: who decodes once too often must not be led astray."""
    for _ in range(_MOST_ENCODINGS):
        decoded = unquote(path)
        if decoded == path:
            return _CONTROL.sub("_", path)
        path = unicodedata.normalize("NFC", decoded)
    raise invalid_path()


def _check(path: str) -> None:
    try:
        check_new_path(path, "path")
    except (InvalidField, UnicodeEncodeError):
        raise invalid_path() from None


def _located(path: str) -> Location:
    of_model, of_run = _OF_MODEL.fullmatch(path), _OF_RUN.fullmatch(path)
    found = of_model or of_run
    if found is None:
        raise wrong("Invalid path: expected EXPERIMENT/RUN/artifacts/PATH, or EXPERIMENT/models/MODEL/artifacts/PATH")
    below = found["path"] or ""
    if below:
        _check(below)
        _check(_wholly_decoded(below))
    return Location(found["experiment"], "" if of_model else found["owner"], found["owner"] if of_model else "", below)
