"""Checks of what users wrote, before it becomes a message."""

import operator
from typing import Any

from runstream.exceptions import RunConfigurationException


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """A whole number, be it one of numpy.

    Raises:
        RunConfigurationException: It is none, or less than `least`.
    """
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise RunConfigurationException(f"{name} must be a whole number of {least} or more, not {value!r}.")
    return number


def texts(name: str, values: Any) -> list[str]:
    """A list of texts; a single text is a list of one.

    Raises:
        RunConfigurationException: It is no list.
    """
    if isinstance(values, str):
        return [values]
    if not isinstance(values, (list, tuple, type(None))):
        raise RunConfigurationException(f"{name} must be a list, not {values!r}.")
    return [str(each) for each in values or ()]


def variables(name: str, values: Any) -> dict[str, str]:
    """Keys with texts for values; one without a value has an empty one.

    Raises:
        RunConfigurationException: It is no dictionary.
    """
    if not isinstance(values, (dict, type(None))):
        raise RunConfigurationException(f"{name} must be a dictionary, not {values!r}.")
    return {str(key): "" if value is None else str(value) for key, value in (values or {}).items()}
