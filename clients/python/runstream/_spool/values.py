"""Turns what users log into what is stored."""

import inspect
import math
from array import array
from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby
from types import GeneratorType
from typing import Any, Final, NamedTuple

from runstream._spool.format import BOOL, DOUBLE, INT64, NULL, TEXT
from runstream._spool.records import Column, Scalar
from runstream.exceptions import AzureMLException, UserErrorException

MAX_TEXT_CHARACTERS: Final = 10_000
CUT_MARK: Final = "…[cut]"
MAX_LIST_COUNT: Final = 8_192
"""Values in one record: longer lists become several records."""
MAX_LIST_TEXT_COUNT: Final = 16

MIN_INT64: Final = -(2**63)
MAX_INT64: Final = 2**63 - 1

TEXT_CUT = f"a text is longer than {MAX_TEXT_CHARACTERS:,} characters and is cut"
TEXT_REPAIRED = "a text is not valid Unicode and is escaped"
INTEGER_TOO_LARGE = "an integer has more than 64 bits and is stored as a floating-point number"


class Converted(NamedTuple):
    """A value as it is stored."""

    kind: int
    value: Scalar
    note: str = ""
    """What was changed on the way, for people."""


class Stretch(NamedTuple):
    """Consecutive values of one kind as they are stored."""

    kind: int
    column: Column

    @property
    def length(self) -> int:
        """How many values there are."""
        return self.column if isinstance(self.column, int) else len(self.column)


def convert(value: object) -> Converted:
    """A value given to `log`.

    Raises:
        UserErrorException: It is several values: they belong into `log_list`.
    """
    if isinstance(value, list | range | GeneratorType) or inspect.isgeneratorfunction(value):
        raise UserErrorException(f"log takes one value, not a {_name(value)}: use log_list for several.")
    return _convert_python(value) or _convert_number(value) or _convert_other(value)


def convert_step(step: object) -> int | None:
    """A step given to `log`.

    Raises:
        UserErrorException: It is not an integer of 64 bits.
    """
    if step is None:
        return None
    _, number, note = convert(step)
    if isinstance(number, float) and number.is_integer() and not note:
        number = int(number)
    if not isinstance(number, int) or not MIN_INT64 <= number <= MAX_INT64:
        raise UserErrorException(f"The step of a metric is an integer of 64 bits, not {step!r}.")
    return int(number)


def is_step(step: object) -> bool:
    """Whether a step can be stored as it is, as nearly always."""
    return type(step) is int and MIN_INT64 <= step <= MAX_INT64


def convert_list(values: Iterable[object]) -> tuple[list[Stretch], list[str]]:
    """The values given to `log_list`, in order, in pieces that fit into a record each; and what was changed.

    Integers become floating-point numbers where the list has nothing but numbers and one of them is one. Anything else
    keeps its own kind. An iterator is used up.

    Raises:
        TypeError: It cannot be iterated over.
        AzureMLException: It has a list or dict in it.
    """
    listed = _to_list(values)
    alike = uniform(listed)
    if alike is not None:
        return list(_pieces([alike])), []
    converted = [_convert_element(value) for value in listed]
    return list(_pieces(_stretches(converted))), sorted({value.note for value in converted} - {""})


def uniform(values: list[Any]) -> Stretch | None:
    """All values at once where they are Python's own numbers, as nearly always."""
    types = set(map(type, values))
    if types == {int}:
        try:
            return Stretch(INT64, array("q", values))
        except OverflowError:
            return None
    return Stretch(DOUBLE, array("d", values)) if types == {float} else None


def cut(text: str, max_characters: int) -> str:
    """A text, with a mark at its end where it had to be cut."""
    return text if len(text) <= max_characters else text[: max_characters - len(CUT_MARK)] + CUT_MARK


def _convert_python(value: object) -> Converted | None:
    if value is None:
        return Converted(NULL, None)
    if isinstance(value, bool):
        return Converted(BOOL, value)
    if isinstance(value, float):
        return Converted(DOUBLE, float(value))
    if isinstance(value, int):
        return _convert_integer(int(value))
    if isinstance(value, str):
        return _convert_text(str.__str__(value), "")
    return None


def _convert_integer(value: int) -> Converted:
    if MIN_INT64 <= value <= MAX_INT64:
        return Converted(INT64, value)
    try:
        return Converted(DOUBLE, float(value), INTEGER_TOO_LARGE)
    except OverflowError:
        return Converted(DOUBLE, math.inf if value > 0 else -math.inf, INTEGER_TOO_LARGE)


def _convert_number(value: Any) -> Converted | None:
    """Numbers of numpy, of tensor libraries and of `decimal`, none of which are imported here."""
    if isinstance(value, Decimal):
        return Converted(DOUBLE, math.nan if value.is_snan() else float(value))
    try:
        item = _only_item(value)
    except Exception:  # noqa: BLE001  (whatever a foreign class raises, logging goes on)
        return None
    if type(item) in (bool, int, float, str):
        return _convert_python(item)
    return _convert_text(str(item), "") if _is_wide_float(item) else None


def _only_item(value: Any) -> object:
    """The element of an array, tensor or scalar that has exactly one; None of anything else."""
    if isinstance(value, type) or not hasattr(value, "dtype") or math.prod(value.shape) != 1:
        return None
    return value.item() if hasattr(value, "item") else value.numpy().item()


def _is_wide_float(item: Any) -> bool:
    """Whether this is a floating-point number of numpy that no Python number can hold."""
    return type(item).__module__ == "numpy" and getattr(item.dtype, "kind", "") == "f"


def _convert_other(value: object) -> Converted:
    return _convert_text(_repr(value), f"a value of type {_name(value)} is stored as its text")


def _convert_text(text: str, note: str) -> Converted:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        text, note = text.encode("utf-8", "backslashreplace").decode(), TEXT_REPAIRED
    if len(text) > MAX_TEXT_CHARACTERS:
        text, note = cut(text, MAX_TEXT_CHARACTERS), TEXT_CUT
    return Converted(TEXT, text, note)


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  (whatever a foreign class raises, logging goes on)
        return f"<{_name(value)} that cannot be printed>"


def _name(value: object) -> str:
    return type(value).__qualname__


def _to_list(values: Any) -> list[Any]:
    if hasattr(values, "dtype") and hasattr(values, "tolist"):
        values = values.tolist()
    return list(values)


def _convert_element(value: Any) -> Converted:
    if isinstance(value, list | dict | range | GeneratorType) or inspect.isgeneratorfunction(value):
        raise _element_error(value)
    converted = convert(value)
    if converted.note and hasattr(value, "dtype") and hasattr(value, "tolist") and value.shape:
        raise _element_error(value)
    return converted


def _element_error(value: object) -> AzureMLException:
    return AzureMLException(f"An element of a list metric is one value; the type {_name(value)} is not supported.")


def _stretches(values: list[Converted]) -> list[Stretch]:
    if {value.kind for value in values} == {DOUBLE, INT64}:
        return [_stretch(DOUBLE, values)]
    return [_stretch(kind, list(group)) for kind, group in groupby(values, lambda value: value.kind)]


def _stretch(kind: int, values: list[Converted]) -> Stretch:
    scalars: list[Any] = [value.value for value in values]
    if kind == NULL:
        return Stretch(kind, len(scalars))
    if kind == TEXT:
        return Stretch(kind, scalars)
    return Stretch(kind, array({DOUBLE: "d", INT64: "q", BOOL: "B"}[kind], scalars))


def _pieces(stretches: list[Stretch]) -> Iterable[Stretch]:
    for kind, column in stretches:
        if isinstance(column, int):
            yield from _null_pieces(column)
            continue
        count = MAX_LIST_TEXT_COUNT if kind == TEXT else MAX_LIST_COUNT
        for start in range(0, len(column), count):
            yield Stretch(kind, column[start : start + count])


def _null_pieces(count: int) -> Iterable[Stretch]:
    for start in range(0, count, MAX_LIST_COUNT):
        yield Stretch(NULL, min(MAX_LIST_COUNT, count - start))
