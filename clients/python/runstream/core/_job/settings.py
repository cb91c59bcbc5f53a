"""Settings: objects whose attributes are fixed, and their documents with keys in camelCase."""

import difflib
import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import Field, dataclass, field, fields
from typing import Any

from runstream.exceptions import RunConfigurationException

logger = logging.getLogger("runstream")

Document = dict[str, Any]


@dataclass(slots=True)
class Settings:
    """Settings with fixed attributes: to assign another one raises AttributeError, which finds typos.

    A field may have as metadata `key`, its name in documents, and `convert`, which makes the value from what is
    assigned.
    """

    _others: Document = field(init=False, repr=False, default_factory=dict)
    """What a document had besides; it is written again."""

    def __setattr__(self, name: str, value: object) -> None:
        if not hasattr(type(self), name):
            raise AttributeError(_no_attribute(self, name))
        convert = _converters(type(self)).get(name)
        object.__setattr__(self, name, convert(value) if convert else value)


def setting(default: object, *, key: str | None = None, convert: Callable[[Any], Any] | None = None) -> Any:
    """A field of settings; a default that can change is made anew for each object by calling it."""
    metadata = {"key": key, "convert": convert}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def reset(settings: Settings) -> None:
    """Gives every attribute its default, in the order of the fields."""
    for each in fields(settings):
        value = each.default_factory() if callable(each.default_factory) else each.default
        setattr(settings, each.name, value)


def to_document(settings: Settings) -> Document:
    """The settings as a document; a copy."""
    known = {key: _to_value(getattr(settings, each.name)) for key, each in _keys(settings).items()}
    return known | deepcopy(settings._others)


def read_document(settings: Settings, document: Mapping[str, Any], where: str) -> None:
    """Takes over what a document says.

    Keys are found in any case, a key without a value changes nothing, and what is not known is kept, with a warning.

    Raises:
        RunConfigurationException: A value is not allowed; the message says where, which `where` begins.
    """
    keys = {key.casefold(): each for key, each in _keys(settings).items()}
    for key, value in document.items():
        known = keys.get(str(key).casefold())
        if known is not None:
            _read_value(settings, known, value, f"{where}: {key}")
        else:
            settings._others[str(key)] = deepcopy(value)
            if value:
                logger.warning("%s: %s is not known here and has no effect.", where, key)


def _read_value(settings: Settings, known: "Field[Any]", value: Any, where: str) -> None:
    present = getattr(settings, known.name)
    if value is None:
        return
    if isinstance(present, Settings):
        if not isinstance(value, Mapping):
            raise RunConfigurationException(f"{where} must have keys and values, not {value!r}.")
        read_document(present, value, where)
        return
    if isinstance(present, (dict, list)) and not isinstance(value, type(present)):
        raise RunConfigurationException(f"{where} must be a {_SHAPES[type(present)]}, not {value!r}.")
    try:
        setattr(settings, known.name, deepcopy(value))
    except RunConfigurationException as error:
        raise RunConfigurationException(f"{where}: {error.message}", error) from None


_SHAPES: dict[type, str] = {dict: "mapping", list: "list"}


def one_of(*allowed: str) -> Callable[[Any], str]:
    """Converts a word of any case into one of the allowed ones."""
    known = {word.casefold(): word for word in allowed}

    def convert(value: Any) -> str:
        found = known.get(str(value).casefold())
        if found is None:
            raise RunConfigurationException(f"{value!r} is none of {', '.join(allowed)}.")
        return found

    return convert


def name_of(value: Any) -> Any:
    """The name of an object that has one; a text is a name."""
    return getattr(value, "name", value)


def _keys(settings: Settings) -> "dict[str, Field[Any]]":
    public = [each for each in fields(settings) if not each.name.startswith("_")]
    return {each.metadata.get("key") or _camel(each.name): each for each in public}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _to_value(value: Any) -> Any:
    if isinstance(value, Settings):
        return to_document(value)
    as_dict = getattr(value, "as_dict", None)
    return as_dict() if callable(as_dict) else deepcopy(value)


def _converters(cls: type[Settings]) -> dict[str, Callable[[Any], Any]]:
    return {each.name: each.metadata["convert"] for each in fields(cls) if each.metadata.get("convert")}


def _no_attribute(settings: Settings, name: str) -> str:
    known = [each.name for each in fields(settings) if not each.name.startswith("_")]
    alike = difflib.get_close_matches(name, known, n=1)
    hint = f" Do you mean {alike[0]!r}?" if alike else ""
    return f"{type(settings).__name__} has no attribute {name!r}.{hint}"
