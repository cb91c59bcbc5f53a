"""What becomes of logged values: sections 10.1 and 10.2 of the surface."""

import math
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import numpy as np
import pytest

from runstream._spool.format import BOOL, DOUBLE, INT64, NULL, TEXT
from runstream._spool.values import (
    INTEGER_TOO_LARGE,
    MAX_LIST_COUNT,
    MAX_TEXT_CHARACTERS,
    TEXT_CUT,
    TEXT_REPAIRED,
    Stretch,
    convert,
    convert_list,
    convert_step,
)
from runstream.exceptions import AzureMLException, UserErrorException

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Level(IntEnum):
    HIGH = 3


class Colour(StrEnum):
    RED = "red"


class Shade(str, Enum):  # noqa: UP042  (its str() is another text than itself)
    DARK = "dark"


class Tensor:
    """What a tensor of a library that is not installed looks like."""

    dtype = "float32"

    def __init__(self, values: list[float], shape: tuple[int, ...]) -> None:
        self._values = values
        self.shape = shape

    def item(self) -> float:
        if len(self._values) != 1:
            raise RuntimeError("a tensor with several elements cannot be converted to a scalar")
        return self._values[0]

    def __repr__(self) -> str:
        return f"tensor({self._values})"


class EagerTensor:
    """The same, of a library whose tensors have no `item`."""

    dtype = "float32"
    shape = ()

    def numpy(self) -> Any:
        return np.float32(0.5)


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def generate() -> Iterator[int]:
    yield from (1, 2)


@pytest.mark.parametrize(
    ("value", "kind", "stored"),
    [
        (1, INT64, 1),
        (-(2**63), INT64, -(2**63)),
        (2**63 - 1, INT64, 2**63 - 1),
        (Level.HIGH, INT64, 3),
        (0.5, DOUBLE, 0.5),
        (math.inf, DOUBLE, math.inf),
        (-math.inf, DOUBLE, -math.inf),
        (True, BOOL, True),
        (np.bool_(False), BOOL, False),
        ("text", TEXT, "text"),
        (np.str_("text"), TEXT, "text"),
        (Colour.RED, TEXT, "red"),
        (Shade.DARK, TEXT, "dark"),
        (None, NULL, None),
        (np.int8(-5), INT64, -5),
        (np.int16(-5), INT64, -5),
        (np.int32(-5), INT64, -5),
        (np.int64(2**62), INT64, 2**62),
        (np.uint8(5), INT64, 5),
        (np.uint16(5), INT64, 5),
        (np.uint32(5), INT64, 5),
        (np.uint64(5), INT64, 5),
        (np.float16(0.5), DOUBLE, 0.5),
        (np.float32(0.5), DOUBLE, 0.5),
        (np.float64(0.5), DOUBLE, 0.5),
        (np.array(0.5), DOUBLE, 0.5),
        (np.array([7]), INT64, 7),
        (Decimal("0.5"), DOUBLE, 0.5),
        (Tensor([0.5], ()), DOUBLE, 0.5),
        (Tensor([0.5], (1,)), DOUBLE, 0.5),
        (EagerTensor(), DOUBLE, 0.5),
        (np.longdouble("0.5"), TEXT, "0.5"),
    ],
)
def test_a_value_is_stored_as_what_it_is(value: object, kind: int, stored: object) -> None:
    converted = convert(value)

    assert (converted.kind, converted.value, converted.note) == (kind, stored, "")
    assert type(converted.value) is type(stored)


@pytest.mark.parametrize("value", [math.nan, np.float32("nan"), Decimal("NaN"), Decimal("sNaN")])
def test_nan_is_a_number(value: object) -> None:
    converted = convert(value)

    assert converted.kind == DOUBLE
    assert math.isnan(float(converted.value or 0))


@pytest.mark.parametrize(
    "value",
    [{"a": 1}, (1, 2), {1}, b"bytes", NOON, 1j, np.complex64(1j), np.array([1, 2]), Tensor([1, 2], (2,)), Tensor],
)
def test_anything_else_is_stored_as_its_text_with_a_note(value: object) -> None:
    converted = convert(value)

    assert (converted.kind, converted.value) == (TEXT, repr(value))
    assert type(value).__name__ in converted.note


def test_a_value_that_cannot_even_be_printed_stops_nothing() -> None:
    assert convert(Unprintable()).value == "<Unprintable that cannot be printed>"


@pytest.mark.parametrize("value", [[1], range(2), generate(), generate, iter(generate())])
def test_several_values_are_sent_to_log_list(value: object) -> None:
    with pytest.raises(UserErrorException, match="log_list"):
        convert(value)


@pytest.mark.parametrize(
    ("value", "stored"),
    [(2**63, 2.0**63), (np.uint64(2**64 - 1), 2.0**64), (10**400, math.inf), (-(10**400), -math.inf)],
)
def test_an_integer_of_more_than_64_bits_becomes_a_double_with_a_note(value: object, stored: float) -> None:
    assert convert(value) == (DOUBLE, stored, INTEGER_TOO_LARGE)


def test_a_long_text_is_cut_with_a_mark_and_a_note() -> None:
    fits, long = convert("x" * MAX_TEXT_CHARACTERS), convert("x" * (MAX_TEXT_CHARACTERS + 1))

    assert fits.note == ""
    assert long.note == TEXT_CUT
    assert isinstance(long.value, str)
    assert len(long.value) == MAX_TEXT_CHARACTERS
    assert long.value.endswith("…[cut]")


def test_a_text_that_is_not_unicode_is_escaped_with_a_note() -> None:
    assert convert("a\ud800b") == (TEXT, "a\\ud800b", TEXT_REPAIRED)


@pytest.mark.parametrize(
    ("step", "stored"),
    [(None, None), (0, 0), (-5, -5), (np.int64(5), 5), (5.0, 5), (np.array(5), 5), (Tensor([5.0], ()), 5)],
)
def test_a_step_is_an_integer_of_whatever_type(step: object, stored: int | None) -> None:
    assert convert_step(step) == stored
    assert convert_step(step) is None or type(convert_step(step)) is int


@pytest.mark.parametrize("step", [0.5, math.nan, math.inf, "5", 2**63, -(2**63) - 1, [1]])
def test_a_step_that_is_no_integer_of_64_bits_is_an_error_of_the_user(step: object) -> None:
    with pytest.raises(UserErrorException):
        convert_step(step)


@pytest.mark.parametrize(
    ("values", "stretches"),
    [
        ([1, 2], [Stretch(INT64, array("q", [1, 2]))]),
        ((1.5, 2.5), [Stretch(DOUBLE, array("d", [1.5, 2.5]))]),
        ([1, 2.5], [Stretch(DOUBLE, array("d", [1, 2.5]))]),
        (range(3), [Stretch(INT64, array("q", [0, 1, 2]))]),
        (generate(), [Stretch(INT64, array("q", [1, 2]))]),
        (np.array([1.5, 2.5]), [Stretch(DOUBLE, array("d", [1.5, 2.5]))]),
        (np.array([1, 2], dtype=np.int64), [Stretch(INT64, array("q", [1, 2]))]),
        (np.array([True]), [Stretch(BOOL, array("B", [1]))]),
        ([np.int64(1), np.float32(0.5)], [Stretch(DOUBLE, array("d", [1, 0.5]))]),
        ([Tensor([0.5], ()), Tensor([1.5], (1,))], [Stretch(DOUBLE, array("d", [0.5, 1.5]))]),
        ("ab", [Stretch(TEXT, ["a", "b"])]),
        ({"x": 1, "y": 2}, [Stretch(TEXT, ["x", "y"])]),
        ([None, None], [Stretch(NULL, 2)]),
        (
            [1, "a", True, 0.5],
            [
                Stretch(INT64, array("q", [1])),
                Stretch(TEXT, ["a"]),
                Stretch(BOOL, array("B", [1])),
                Stretch(DOUBLE, array("d", [0.5])),
            ],
        ),
        ([2**63, 1], [Stretch(DOUBLE, array("d", [2.0**63, 1.0]))]),
        ([], []),
    ],
)
def test_a_list_is_stored_in_stretches_of_one_kind(values: Any, stretches: list[Stretch]) -> None:
    assert convert_list(values)[0] == stretches


def test_a_generator_is_used_up_once() -> None:
    source = generate()

    convert_list(source)

    assert list(source) == []


@pytest.mark.parametrize("count", [MAX_LIST_COUNT, MAX_LIST_COUNT + 1, 3 * MAX_LIST_COUNT])
def test_a_long_list_is_split_and_stays_whole(count: int) -> None:
    stretches, _ = convert_list(range(count))

    assert [value for stretch in stretches for value in stretch.column] == list(range(count))  # type: ignore[union-attr]
    assert all(stretch.length <= MAX_LIST_COUNT for stretch in stretches)


def test_many_values_of_none_are_split_too() -> None:
    stretches, _ = convert_list([None] * (2 * MAX_LIST_COUNT + 1))

    assert stretches == [Stretch(NULL, MAX_LIST_COUNT), Stretch(NULL, MAX_LIST_COUNT), Stretch(NULL, 1)]


@pytest.mark.parametrize("element", [[1], {"a": 1}, range(2), np.array([1, 2])])
def test_an_element_that_is_several_values_is_not_supported(element: object) -> None:
    with pytest.raises(AzureMLException, match="not supported"):
        convert_list([1, element])


def test_an_array_of_two_dimensions_is_not_supported() -> None:
    with pytest.raises(AzureMLException, match="not supported"):
        convert_list(np.zeros((2, 2)))


@pytest.mark.parametrize("value", [5, None, generate])
def test_what_cannot_be_iterated_over_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        convert_list(value)


def test_the_notes_of_a_list_are_said_once() -> None:
    assert convert_list([2**63, 2**64, b"x"])[1] == [
        "a value of type bytes is stored as its text",
        INTEGER_TOO_LARGE,
    ]
