"""Reads the parameters of requests: JSON objects, or queries where one parameter may come more than once."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from runstream_server.gateway.mlflow.errors import MlflowError, invalid_parameter, missing_parameter, wrong

_INT64 = range(-(1 << 63), 1 << 63)
_INTEGER = re.compile(r"[+-]?\d{1,20}")
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def read_body(body: bytes) -> Mapping[str, Any]:
    """The JSON object in a body, empty if there is nothing; raises MlflowError if it is none."""
    if not body.strip():
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise MlflowError("BAD_REQUEST", "the body is no JSON") from None
    if not isinstance(found, dict):
        raise MlflowError("BAD_REQUEST", "the body is JSON, but no object")
    return found


@cache
def camel(name: str) -> str:
    """The other spelling of a name: `runId` of `run_id`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


class Fields:
    """The parameters of a request, or of one object within it. Every method raises MlflowError on a wrong value.

    A parameter may be spelled `run_id` or `runId`, but not both. Absent, null and, where it is required, empty values
    count as missing.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "", names: Mapping[str, str] | None = None) -> None:
        """`path` is `metrics[0]` for one of a list; `names` says what else parameters are called in errors."""
        self._values = values
        self._path = path
        self._names = names or {}

    def _where(self, name: str) -> str:
        shown = self._names.get(name, name)
        return f"{self._path}.{shown}" if self._path else shown

    def raw(self, name: str) -> Any:
        """A value as it came; None if there is none."""
        other = camel(name)
        if other != name and self._values.get(name) is not None and self._values.get(other) is not None:
            raise wrong(f"'{name}' and '{other}' are the same parameter; send one of them")
        value = self._values.get(name)
        return self._values.get(other) if value is None else value

    def has(self, name: str) -> bool:
        """Whether a parameter is present and not null."""
        return self.raw(name) is not None

    def error(self, name: str, hint: str = "") -> MlflowError:
        """What is told of a value that is wrong for a reason of the caller's."""
        return invalid_parameter(self._where(name), self.raw(name), hint)

    def text(self, name: str, *, most: int | None = None) -> str:
        """A required text of up to `most` characters."""
        value = self.text_or(name, "", most=most)
        if not value:
            raise missing_parameter(self._where(name))
        return value

    def text_or(self, name: str, default: str, *, most: int | None = None) -> str:
        """A text of up to `most` characters that may be absent, or empty."""
        value = _single(self.raw(name))
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(name, "expected a string")
        if "\0" in value or not _is_storable(value):
            raise self.error(name, "NUL and lone surrogates cannot be stored")
        if most is not None and len(value) > most:
            raise self.error(name, f"expected up to {most} characters, got {len(value)}")
        return value

    def integer(self, name: str) -> int:
        """A required int64; a number, or a text of digits."""
        value = self.integer_or(name, None)
        if value is None:
            raise missing_parameter(self._where(name))
        return value

    def integer_or(self, name: str, default: int | None) -> int | None:
        """An int64 that may be absent."""
        value = _single(self.raw(name))
        if value is None:
            return default
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value not in _INT64:
            raise self.error(name, "expected a whole number of 64 bits")
        return value

    def count(self, name: str, default: int, most: int) -> int:
        """How many to return: 1 to `most`."""
        value = self.integer_or(name, default)
        if value is None or not 1 <= value <= most:
            raise self.error(name, f"expected 1 to {most}")
        return value

    def double(self, name: str) -> float:
        """A required number; `NaN`, `Infinity` and `-Infinity` are texts."""
        value = _single(self.raw(name))
        if value is None:
            raise missing_parameter(self._where(name))
        if isinstance(value, str):
            value = _SPECIAL.get(value, _parsed(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(name, "expected a number")
        try:
            return float(value)
        except OverflowError:
            raise self.error(name, "expected a number of 64 bits") from None

    def truth(self, name: str, *, default: bool) -> bool:
        """A truth value."""
        value = _single(self.raw(name))
        if value is None:
            return default
        if isinstance(value, str) and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        if not isinstance(value, bool):
            raise self.error(name, "expected true or false")
        return value

    def texts(self, name: str) -> Sequence[str]:
        """A list of texts, empty if absent; a single one counts as a list of it."""
        value = self.raw(name)
        values = [] if value is None else value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) and "\0" not in each and _is_storable(each) for each in values):
            raise self.error(name, "expected a list of strings")
        return values

    def object(self, name: str, **names: str) -> "Fields":
        """A required object; `names` as for the whole."""
        value = self.raw(name)
        if value is None:
            raise missing_parameter(self._where(name))
        if not isinstance(value, dict):
            raise self.error(name, "expected an object")
        return Fields(value, self._where(name), names)

    def objects(self, name: str, **names: str) -> Sequence["Fields"]:
        """A list of objects, empty if absent; `names` says what their parameters are called in errors."""
        return list(self._each(name, names))

    def _each(self, name: str, names: Mapping[str, str]) -> Iterator["Fields"]:
        value = self.raw(name)
        values = [] if value is None else value
        if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
            raise self.error(name, "expected a list of objects")
        for place, each in enumerate(values):
            yield Fields(each, f"{self._where(name)}[{place}]", names)


def _single(value: Any) -> Any:
    """The value of a parameter that comes once, also from a query."""
    return value[-1] if isinstance(value, list) and value else value


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def number(value: float) -> float | str:
    """A number as it travels: those that JSON does not have as texts."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
