"""Sections 10.1 to 10.3: values, lists, rows and tables read back as they were meant."""

import math
from decimal import Decimal

import numpy as np
import pytest

from runstream.core import Run
from runstream.exceptions import AzureMLException, UserErrorException
from tests.logged import kept


class Number:
    """A tensor of one element."""

    dtype = "float32"
    shape = (1,)

    def item(self) -> float:
        return 0.5


# 10.1


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (1, 1),
        (-(2**63), -(2**63)),
        (0.5, 0.5),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (True, True),
        (np.bool_(False), False),
        ("text", "text"),
        (np.str_("text"), "text"),
        (None, None),
        *((getattr(np, f"{kind}{bits}")(7), 7) for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        *((getattr(np, f"float{bits}")(0.5), 0.5) for bits in (16, 32, 64)),
        (np.array(3), 3),
        (Number(), 0.5),
        (Decimal("0.5"), 0.5),
        (2**64, 2.0**64),
        ((1, 2), "(1, 2)"),
        ({"a": 1}, "{'a': 1}"),
        (b"bytes", "b'bytes'"),
    ],
)
def test_a_value_reads_back_as_the_table_says(run: Run, value: object, stored: object) -> None:
    run.log("value", value)
    run.log_row("row", value=value) if not isinstance(value, tuple | dict) else run.log_row("row", value=stored)

    found = kept(run)

    assert found == {"value": stored, "row": {"value": stored}}
    assert type(found["value"]) is type(stored)
    assert type(found["row"]["value"]) is type(stored)


def test_nan_reads_back(run: Run) -> None:
    run.log("value", math.nan)
    run.log_row("row", value=math.nan)

    found = kept(run)
    assert math.isnan(found["value"])
    assert math.isnan(found["row"]["value"])


@pytest.mark.parametrize(
    "value",
    [[1], range(3), (x for x in (1, 2)), lambda: (yield 1)],
    ids=["list", "range", "generator", "generator-function"],
)
def test_several_values_belong_into_log_list(run: Run, value: object) -> None:
    with pytest.raises(UserErrorException, match="log_list"):
        run.log("value", value)
    with pytest.raises(UserErrorException, match="log_list"):
        run.log_metrics({"good": 1, "value": value})
    assert kept(run) == {}


# 10.2


def test_a_list_is_any_iterable(run: Run) -> None:
    run.log_list("tuple", (1, 2))
    run.log_list("generator", (x for x in (1, 2)))
    run.log_list("array", np.array([1, 2]))
    run.log_list("text", "ab")
    run.log_list("dict", {"a": 1, "b": 2})
    run.log_list("numbers", [1, 0.5])
    run.log_list("types", [1, "a", None, True])
    run.log_list("empty", [])

    assert kept(run) == {
        "tuple": [1, 2],
        "generator": [1, 2],
        "array": [1, 2],
        "text": ["a", "b"],
        "dict": ["a", "b"],
        "numbers": [1.0, 0.5],
        "types": [1, "a", None, True],
        "empty": [],
    }


def test_a_long_list_and_slices_of_one_name_join(run: Run) -> None:
    values = list(range(30_000))
    run.log_list("long", values)
    run.log_list("sliced", values[:10_000])
    run.log_list("sliced", values[10_000:])

    assert kept(run) == {"long": values, "sliced": values}


# 10.3


def test_a_row_has_scalars(run: Run) -> None:
    with pytest.raises(AzureMLException, match="cannot contain list values: column 'x'"):
        run.log_row("row", x=[1])
    with pytest.raises(AzureMLException, match="not supported"):
        run.log_row("row", x={"a": 1})
    with pytest.raises(AzureMLException, match="different lengths"):
        run.log_table("table", {"x": [1], "y": [1, 2]})
    with pytest.raises(UserErrorException):
        run.log_table("table", {})
    assert kept(run) == {}


def test_a_table_has_columns_of_many_forms(run: Run) -> None:
    run.log_table("scalars", {"x": 1, "y": "a"})
    run.log_table("forms", {"list": [1, 2], "tuple": (0.5, 1.5), "array": np.array([True, False])})
    run.log_table("empty", {"x": [], "y": []})
    run.log_table("wide", {f"c{number}": [number, number] for number in range(15)})

    found = kept(run)

    assert found["scalars"] == {"x": 1, "y": "a"}
    assert found["forms"] == {"list": [1, 2], "tuple": [0.5, 1.5], "array": [True, False]}
    assert found["empty"] == {"x": [], "y": []}
    assert list(found["wide"]) == [f"c{number}" for number in range(15)]


def test_rows_may_bring_new_columns_in_order_of_first_appearance(run: Run) -> None:
    run.log_row("rows", b=1, a=2)
    run.log_row("rows", c="x", b=3)
    run.flush()
    run.log_row("rows", a=0.5)

    found = kept(run)["rows"]

    assert found == {"b": [1, 3, None], "a": [2.0, None, 0.5], "c": [None, "x", None]}
    assert list(found) == ["b", "a", "c"]


def test_a_table_of_many_rows_is_stored_whole(run: Run) -> None:
    columns = {"x": list(range(50_000)), "y": [number / 2 for number in range(50_000)], "t": ["text"] * 50_000}
    run.log_table("long", columns)

    assert kept(run) == {"long": columns}
