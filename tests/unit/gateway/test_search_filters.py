"""The filter language of MLflow."""

import math
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.gateway.mlflow.errors import MlflowError
from runstream_server.gateway.mlflow.search import Clause, Scalar, admits, admitted, parse_filter
from runstream_server.gateway.mlflow.search.parse import MAX_CLAUSES, MAX_FILTER, MAX_PATTERN
from tests.searched import SCHEMA, Thing, thing

_KEYS = st.text(st.characters(exclude_characters='"`', exclude_categories=["Cs"]), min_size=1, max_size=20)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20)


def _is_admitted(text: str, subject: Thing) -> bool:
    return admits(parse_filter(text, SCHEMA), subject)


def _problem(text: str) -> str:
    with pytest.raises(MlflowError) as error:
        parse_filter(text, SCHEMA)
    assert error.value.code == "INVALID_PARAMETER_VALUE"
    return error.value.message


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("metrics.loss < 0.5", Clause("metrics", "loss", "<", 0.5)),
        ("metric.`val loss`>=-1e-3", Clause("metrics", "val loss", ">=", -1e-3)),
        ('metrics."val/loss" = +2.', Clause("metrics", "val/loss", "=", 2.0)),
        ("`metrics`.`a.b` != .5", Clause("metrics", "a.b", "!=", 0.5)),
        ("tags.mlflow.source.name = 'train.py'", Clause("tags", "mlflow.source.name", "=", "train.py")),
        ('tag.a LIKE "%x_"', Clause("tags", "a", "LIKE", "%x_")),
        ("tags.a ilike 'it''s'", Clause("tags", "a", "ILIKE", "it's")),
        ("tags.a = ''", Clause("tags", "a", "=", "")),
        ("tags.a IS NULL", Clause("tags", "a", "IS NULL", None)),
        ("tags.a is  not\nnull", Clause("tags", "a", "IS NOT NULL", None)),
        ("name = 'x'", Clause("attributes", "name", "=", "x")),
        ("run.name = 'x'", Clause("attributes", "name", "=", "x")),
        ("\"Thing name\" = 'x'", Clause("attributes", "name", "=", "x")),
        ("attribute.`Thing name` = 'x'", Clause("attributes", "name", "=", "x")),
        ("Created > 1664067852747", Clause("attributes", "time", ">", 1664067852747)),
        ("id IN ('a', \"b\",'c''d')", Clause("attributes", "id", "IN", ("a", "b", "c'd"))),
        ("id not  in('a',)", Clause("attributes", "id", "NOT IN", ("a",))),
        (f"time < {'9' * 40}", Clause("attributes", "time", "<", 1e40)),
    ],
)
def test_a_clause_is_taken_apart(text: str, clause: Clause) -> None:
    assert parse_filter(text, SCHEMA) == [clause]
    assert parse_filter(f"  {text}\tand {text} ", SCHEMA) == [clause, clause]


def test_a_filter_of_nothing_has_no_clauses() -> None:
    assert parse_filter(" \n", SCHEMA) == []


def test_and_within_a_text_joins_nothing() -> None:
    clauses = parse_filter("tags.a = 'x AND y' AnD tags.`b AND c` = \"AND\"", SCHEMA)

    assert clauses == [Clause("tags", "a", "=", "x AND y"), Clause("tags", "b AND c", "=", "AND")]


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("tags.a = 'x' OR tags.b = 'y'", "tags.a = 'x' OR tags.b = 'y'"),
        ("metrics.a > 1 AND (metrics.b > 1) AND metrics.c > 1", "(metrics.b > 1)"),
        ("name = 'x' AND other = 'and y' AND name = 'z'", "other = 'and y'"),
        ("things.a = 'x'", "things.a = 'x'"),
        ("metrics.a", "metrics.a"),
        ("metrics.a LIKE 'x'", "metrics.a LIKE 'x'"),
        ("metrics.a > '1'", "metrics.a > '1'"),
        ("metrics.a > 1x", "metrics.a > 1x"),
        ("metrics.a == 1", "metrics.a == 1"),
        ("metrics.a <> 1", "metrics.a <> 1"),
        ("tags.a = x", "tags.a = x"),
        ("tags.a = 1", "tags.a = 1"),
        ("tags.a > 'x'", "tags.a > 'x'"),
        ("tags.a IN ('x')", "tags.a IN ('x')"),
        ("tags.a-b = 'x'", "tags.a-b = 'x'"),
        ("tags.a = 'x", "tags.a = 'x"),
        ("tags.a NOT NULL", "tags.a NOT NULL"),
        ("name IS NULL", "name IS NULL"),
        ("id IN ()", "id IN ()"),
        ("id IN ('a' 'b')", "id IN ('a' 'b')"),
        ("id IN 'a'", "id IN 'a'"),
        ("size > 1", "size > 1"),
        ("name = 'x' AND", "name = 'x'"),
        ("AND name = 'x'", "AND name = 'x'"),
        ("name = 'x';", "name = 'x';"),
        ("`a`.`b`.`c` = 'x'", "`a`.`b`.`c` = 'x'"),
        ("name = " + "x" * 300, "name = " + "x" * 193 + "..."),
    ],
)
def test_what_is_not_of_the_language_is_refused_with_its_clause(text: str, clause: str) -> None:
    assert _problem(text).startswith(f"Invalid clause(s) in filter string: '{clause}': ")


def test_filters_have_bounds() -> None:
    one = "name != 'x'"
    assert len(parse_filter(" AND ".join([one] * MAX_CLAUSES), SCHEMA)) == MAX_CLAUSES
    assert "up to 100 clauses" in _problem(" AND ".join([one] * (MAX_CLAUSES + 1)))
    assert parse_filter(f"name = '{'x' * (MAX_FILTER - 9)}'", SCHEMA)
    assert "up to 65536 characters" in _problem(f"name = '{'x' * (MAX_FILTER - 8)}'")
    assert parse_filter(f"name LIKE '{'x' * MAX_PATTERN}'", SCHEMA)
    half = f"name LIKE '{'x' * (MAX_PATTERN // 2)}'"
    assert parse_filter(f"{half} AND {half}", SCHEMA)
    for more in ("name LIKE 'x'", "name ILIKE 'x'"):
        assert "patterns of up to 1000 characters together" in _problem(f"{half} AND {half} AND {more}")


@given(_KEYS, _TEXTS)
def test_every_key_and_text_can_be_written(key: str, text: str) -> None:
    escaped = text.replace("'", "''")

    assert parse_filter(f"tags.`{key}` = '{escaped}'", SCHEMA) == [Clause("tags", key, "=", text)]
    assert parse_filter(f"tags.\"{key}\" != '{escaped}'", SCHEMA) == [Clause("tags", key, "!=", text)]


@given(_NUMBERS)
def test_every_number_can_be_written(number: float) -> None:
    assert parse_filter(f"metrics.a = {number!r}", SCHEMA) == [Clause("metrics", "a", "=", number)]


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            ["metrics.a", "tags.`b`", "id", "name", "AND", "=", "IN", "LIKE", "(", "'x'", "1", ",", '"', "IS NULL"]
        )
    ).map(" ".join)
)
def test_nothing_breaks_the_parser(text: str) -> None:
    with suppress(MlflowError):
        parse_filter(text, SCHEMA)


@given(_TEXTS, _TEXTS.map(lambda text: text.replace("'", "")))
def test_like_is_what_it_says(text: str, pattern: str) -> None:
    spelled = "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in pattern)
    for flag, word in ((re.NOFLAG, "LIKE"), (re.IGNORECASE, "ILIKE")):
        expected = re.fullmatch(spelled, text, re.DOTALL | flag) is not None
        assert _is_admitted(f"name {word} '{pattern}'", thing(attributes__name=text)) == expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("a%", "abc"), ("%c", "abc"), ("%b%", "a\nb\nc"), ("a_c", "abc"), ("%a%b%", "xaxbx"), ("", "")],
)
def test_like_takes_any_text_for_its_signs(pattern: str, text: str) -> None:
    assert _is_admitted(f"name LIKE '{pattern}'", thing(attributes__name=text))
    assert _is_admitted(f"name ILIKE '{pattern.upper()}'", thing(attributes__name=text))
    assert not _is_admitted(f"name LIKE '{pattern}'", thing(attributes__name=text + "!x")) or pattern.endswith("%")


@pytest.mark.parametrize(
    ("start", "sign"), [("metrics.a > ", "1"), ("metrics.a > 1e", "1"), ("id IN ('a'", " "), ("id IN ('a',", " ")]
)
def test_a_long_value_that_is_none_is_refused_without_trying_its_parts(start: str, sign: str) -> None:
    assert "Invalid clause(s)" in _problem(start + sign * (MAX_FILTER - len(start) - 1) + "x")


def test_like_of_many_signs_ends() -> None:
    pattern = "%a" * (MAX_PATTERN // 2 - 1) + "%b"

    assert not _is_admitted(f"name LIKE '{pattern}'", thing(attributes__name="a" * 8_000))


@pytest.mark.parametrize("clause", ["= 'x'", "!= 'x'", "LIKE '%'", "ILIKE '%'", "IS NOT NULL"])
def test_nothing_holds_for_what_is_absent(clause: str) -> None:
    assert not _is_admitted(f"tags.a {clause}", thing())


def test_is_null_tells_the_absent_from_the_empty() -> None:
    assert _is_admitted("tags.a IS NULL", thing())
    assert not _is_admitted("tags.a IS NULL", thing(tags__a=""))
    assert _is_admitted("tags.a IS NOT NULL", thing(tags__a=""))


@given(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.floats(), _NUMBERS)
def test_numbers_compare_as_numbers_do(comparator: str, found: float, number: float) -> None:
    compared: dict[str, bool] = {
        "=": found == number,
        "!=": found != number,
        "<": found < number,
        "<=": found <= number,
        ">": found > number,
        ">=": found >= number,
    }
    assert _is_admitted(f"metrics.a {comparator} {number!r}", thing(metrics__a=found)) == compared[comparator]


def test_nan_is_unlike_every_number() -> None:
    assert _is_admitted("metrics.a != 1", thing(metrics__a=math.nan))
    assert not _is_admitted("metrics.a > 1", thing(metrics__a=math.nan))


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("sets.name = 'b'", ["a", "b"], True),
        ("sets.name != 'b'", ["a", "b"], True),
        ("sets.name != 'b'", ["b"], False),
        ("sets.name IN ('a', 'c')", ["a", "b"], True),
        ("sets.name NOT IN ('a', 'b')", ["a", "b"], False),
        ("sets.name = 'a' AND sets.name = 'b'", ["a", "b"], True),
        ("sets.name LIKE '%'", [], False),
    ],
)
def test_a_clause_about_several_values_holds_for_any(text: str, found: list[Scalar], expected: bool) -> None:
    assert _is_admitted(text, thing(sets__name=found)) is expected


def test_all_clauses_have_to_hold() -> None:
    assert _is_admitted("name = 'x' AND metrics.a > 1", thing(attributes__name="x", metrics__a=2.0))
    assert not _is_admitted("name = 'x' AND metrics.a > 2", thing(attributes__name="x", metrics__a=2.0))


async def test_those_that_a_filter_admits_keep_their_order() -> None:
    things = [thing(attributes__name=name) for name in ("b", "x", "a")]

    assert await admitted(parse_filter("name != 'x'", SCHEMA), things) == [things[0], things[2]]
