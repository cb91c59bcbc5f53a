"""Tags and properties as users write them and as the service stores them."""

import logging
from collections.abc import Iterable, Mapping

from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream.exceptions import UserErrorException

logger = logging.getLogger("runstream")


def to_text(kind: str, key: str, value: object) -> str:
    """`value` as text; a value that is none is converted, with a warning."""
    if isinstance(value, str):
        return value
    logger.warning("Converting the non-string %s %s: (%s: %s) to a string", kind, "value", key, value)
    return str(value)


def to_tags(tags: object) -> list[Tag]:
    """A dictionary of tags as messages; None stays a tag without a value.

    Raises:
        UserErrorException: `tags` is no dictionary.
    """
    if not isinstance(tags, Mapping):
        raise UserErrorException(f"Tags must be a dictionary, not {type(tags).__name__}.")
    return [
        Tag(key=str(key), value=None if value is None else to_text("tag", key, value)) for key, value in tags.items()
    ]


def from_tags(tags: Iterable[Tag]) -> dict[str, str | None]:
    """Messages as a dictionary of tags."""
    return {tag.key: tag.value if tag.HasField("value") else None for tag in tags}


def to_properties(properties: object) -> dict[str, str]:
    """A dictionary of properties with texts for values.

    Raises:
        UserErrorException: `properties` is no dictionary.
    """
    if not isinstance(properties, Mapping):
        raise UserErrorException(f"Properties must be a dictionary, not {type(properties).__name__}.")
    return {str(key): to_text("property", key, value) for key, value in properties.items()}


def to_keys(keys: object) -> list[str]:
    """Keys to remove, each once, in order; a single text is one key.

    Raises:
        UserErrorException: `keys` is neither a text nor a series of texts.
    """
    if isinstance(keys, str):
        return [keys]
    if not isinstance(keys, Iterable) or isinstance(keys, Mapping):
        raise UserErrorException(f"Tags to remove must be a list of keys, not {type(keys).__name__}.")
    return list(dict.fromkeys(str(key) for key in keys))
