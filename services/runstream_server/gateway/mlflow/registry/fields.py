"""Reads the parameters of requests about the model registry, and tells what is wrong with them."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from runstream_server.gateway.mlflow.errors import MlflowError, not_there, taken, wrong
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.store.new_versions import UnderWay
from runstream_server.gateway.store.registry import (
    MAX_ALIASES,
    MAX_TAG_BYTES,
    MAX_TAGS,
    STAGES,
    ModelMissing,
    NameInUse,
    TooManyAliases,
    TooManyTags,
    VersionMissing,
)

MOST_NAME = 256
MOST_DESCRIPTION = 65_535
MOST_SOURCE = 2_000
MOST_ID = 256
MOST_ALIAS = 255
MOST_TAG_KEY = 250
MOST_TAG_VALUE = 100_000
"""How many characters each may have."""

_RETRY_SECONDS = 5.0
_VERSION = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_ALIAS = re.compile(r"[\w\-]+", re.ASCII)
_LIKE_A_VERSION = re.compile(r"v\d+|latest", re.ASCII | re.IGNORECASE)
_STAGES = {stage.lower(): stage for stage in STAGES}


def model_missing(name: str) -> MlflowError:
    """No registered model has this name."""
    return not_there(f"Registered Model with name={name} not found")


def version_missing(name: str, version: int) -> MlflowError:
    """A registered model has no such version."""
    return not_there(f"Model Version (name={name}, version={version}) not found")


def alias_missing(alias: str) -> MlflowError:
    """A registered model has no such alias. Clients know this code of it, not that of other things that are missing."""
    return wrong(f"Registered model alias {alias} not found.")


def name_in_use(name: str) -> MlflowError:
    """There is a registered model of this name."""
    return taken(f"Registered Model (name={name}) already exists.")


@contextmanager
def told(name: str, version: int = 0, new_name: str = "") -> Iterator[None]:
    """Tells callers what the store finds wrong; raises MlflowError."""
    try:
        yield
    except ModelMissing:
        raise version_missing(name, version) if version else model_missing(name) from None
    except VersionMissing:
        raise version_missing(name, version) from None
    except NameInUse:
        raise name_in_use(new_name or name) from None
    except TooManyTags:
        raise wrong(f"Up to {MAX_TAGS} tags are taken, with values of up to {MAX_TAG_BYTES} bytes together") from None
    except TooManyAliases:
        raise wrong(f"Registered Model with name={name} has {MAX_ALIASES} aliases; no more are taken") from None
    except UnderWay:
        message = "An equal request is under way, or was broken off a moment ago; ask again"
        raise MlflowError("TEMPORARILY_UNAVAILABLE", message, retry_seconds=_RETRY_SECONDS) from None


def asked_name(fields: Fields, parameter: str = "name") -> str:
    """The name of a registered model that is there, or not."""
    return fields.text(parameter, most=MOST_NAME)


def new_name(fields: Fields, parameter: str = "name") -> str:
    """A name that a registered model may be given."""
    name = asked_name(fields, parameter)
    if any(character in "/:" or unicodedata.category(character) == "Cc" for character in name):
        raise fields.error(parameter, "a name has no /, no : and no control characters")
    if name in (".", "..") or not unicodedata.is_normalized("NFC", name) or name != name.strip():
        raise fields.error(parameter, "a name is in Unicode NFC, begins and ends without spaces, and is not . or ..")
    return name


def asked_version(fields: Fields) -> int:
    """The number of a version."""
    text = (
        str(fields.integer("version")) if not isinstance(fields.raw("version"), str | list) else fields.text("version")
    )
    if not _VERSION.fullmatch(text):
        raise fields.error("version", "expected the number of a version")
    return int(text)


def asked_stage(fields: Fields) -> str:
    """A stage, however its letters are written."""
    return read_stage(fields.text("stage"))


def read_stage(text: str) -> str:
    """A stage, however its letters are written; raises MlflowError."""
    if text.lower() not in _STAGES:
        raise wrong(f"Invalid Model Version stage: {text[:200]}. Value must be one of {', '.join(STAGES)}.")
    return _STAGES[text.lower()]


def asked_alias(fields: Fields) -> str:
    """An alias that is there, or not."""
    return fields.text("alias", most=MOST_ALIAS)


def new_alias(fields: Fields) -> str:
    """A name that a version may be given."""
    alias = asked_alias(fields)
    if not _ALIAS.fullmatch(alias):
        raise fields.error("alias", "an alias has letters, digits, - and _ only")
    if _LIKE_A_VERSION.fullmatch(alias):
        raise fields.error("alias", "latest, and v with a number, are what clients call versions by themselves")
    return alias


def asked_tag(fields: Fields) -> Mapping[str, str]:
    """The tag of a request that sets one."""
    return {fields.text("key", most=MOST_TAG_KEY): fields.text_or("value", "", most=MOST_TAG_VALUE)}


def asked_tags(fields: Fields) -> Mapping[str, str]:
    """The tags of a request that makes something."""
    found: dict[str, str] = {}
    for each in fields.objects("tags"):
        found |= asked_tag(each)
    return found


def asked_description(fields: Fields) -> str:
    """A description; empty if there is none."""
    return fields.text_or("description", "", most=MOST_DESCRIPTION)
