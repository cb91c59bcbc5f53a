"""From the syntax of a filter to SQL: only what the service itself wrote, with every value a parameter."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.runs.errors import InvalidFilter, InvalidOrder
from runstream_server.runs.filter import (
    EXPERIMENT_FIELDS,
    RUN_FIELDS,
    Parameters,
    Scope,
    compile_filter,
    order_column,
    parse_filter,
    parse_order,
)
from runstream_server.runs.status import RunStatus
from runstream_server.runs.store.walks import summary_column

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def compiled(text: str, fields: object = RUN_FIELDS) -> tuple[str, Sequence[object]]:
    """The SQL of a filter and its parameters behind the workspace."""
    scope = Scope("team", NOW, Parameters("team"), summary_column, {"digits": ["e1"], "twice": ["e2", "e3"]})
    condition = compile_filter(parse_filter(text), fields, scope)  # type: ignore[arg-type]
    return condition, scope.parameters.values[1:]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("start_time > -24h", [NOW - timedelta(days=1)]),
        ("start_time > 1.5m", [NOW + timedelta(seconds=90)]),
        ("create_time < 2025-01-31T12:00:00.25+01:00", [datetime(2025, 1, 31, 11, 0, 0, 250_000, UTC)]),
        ("number >= 12", [12]),
        ("hidden = true", [True]),
        ("status = NotResponding", [RunStatus.NOT_RESPONDING]),
        ("parent = workspaces/team/runs/a:b", ["a:b"]),
        ("root = a", ["a"]),
        ("experiment = workspaces/team/experiments/e9", ["e9"]),
        ("experiment = digits", ["e1"]),
        ("experiment = twice", [["e2", "e3"]]),
        ("experiment = nothing", [[]]),
        ("tags.k = null", [{"k": None}]),
        ('tags.k = "null"', [{"k": "null"}]),
        ('properties."a.b" != x', [{"a.b": "x"}]),
        ("tags:k", ["k"]),
        ("display_name = 50%*_", [r"50\%%\_"]),
        ("display_name : 50%", ["50%"]),
        ("metrics.loss.last < -1e-3", ["loss", -0.001]),
        ("metrics.loss.max >= -inf", ["loss", float("-inf")]),
        ("metrics:loss", ["loss"]),
    ],
)
def test_values_are_parameters_of_the_type_of_the_field(text: str, values: Sequence[object]) -> None:
    assert compiled(text)[1] == values


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("parent:*", "r.parent IS NOT NULL"),
        ("NOT parent:*", "r.parent IS NULL"),
        ("-ancestor:*", "r.parent IS NULL"),
        ("tags:*", "r.tags <> '{}'"),
        ("-description:*", "r.description = ''"),
        ("status != Running", "(r.status = $2::text) IS NOT TRUE"),
        ("NOT status = Running", "((r.status = $2::text)) IS NOT TRUE"),
        ("", "true"),
    ],
)
def test_conditions_are_plain_enough_for_indexes(text: str, condition: str) -> None:
    assert compiled(text)[0] == condition


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("colour = red", 1, "there is no field 'colour'; there are status, create_time,"),
        ("status = Runing", 10, "'Runing' is no status; there are NotStarted,"),
        ("status < Running", 1, "status takes = != and :*; not <"),
        ("status.x = Running", 1, "status has no parts"),
        ("create_time > yesterday", 15, "expected a time such as 2025-01-31T12:00:00Z"),
        ("create_time > 2025-02-30T12:00:00Z", 15, "'2025-02-30T12:00:00Z' is no time that exists"),
        ("create_time > 0001-01-01T00:00:00+14:00", 15, "is no time that exists"),
        ("create_time > -999999999w", 15, "is no time that exists"),
        ("number = one", 10, "expected a whole number; got 'one'"),
        ("number = 99999999999999999999", 10, "expected a whole number"),
        ("number = 1*", 10, "expected a whole number"),
        ("hidden = yes", 10, "expected true or false; got 'yes'"),
        ("hidden > true", 1, "hidden takes = != and :*; not >"),
        ("tags = x", 1, "tags takes : and :*; not ="),
        ("tags.a.b = x", 1, 'a key with a dot stands in quotes: tags."a.b"'),
        ("metrics.loss = 1", 1, "expected metrics.NAME and one of .last, .min, .max, .count"),
        ("metrics.loss.mean = 1", 1, "expected metrics.NAME and one of"),
        ("metrics.loss.last = low", 21, "expected a number, inf, -inf or nan; got 'low'"),
        ("metrics.loss.last < nan", 1, "metrics.loss.last takes = != and :*; not <"),
        ("metrics.loss.last : 1", 1, "not :"),
        ("parent = workspaces/other/runs/a", 10, "workspaces/other/runs/a is of another workspace"),
        ("parent = workspaces/team/experiments/a", 10, "expected workspaces/WORKSPACE/runs/RUN"),
        ("experiment = workspaces/other/experiments/a", 14, "is of another workspace"),
        ("ancestor > a", 1, "ancestor takes = != and :*; not >"),
    ],
)
def test_a_wrong_term_is_refused_where_it_stands(text: str, column: int, problem: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        compiled(text)

    assert caught.value.message.startswith(f"filter, line 1, column {column}: ")
    assert problem in caught.value.message


@pytest.mark.parametrize(
    "text", ["experiment", "ancestor", "hidden", "colour", "tags", "metrics.loss", "status.x", "metrics.a.mean"]
)
def test_what_runs_cannot_be_ordered_by_is_refused_with_what_they_can_be(text: str) -> None:
    scope = Scope("team", NOW, Parameters("team"), summary_column)
    with pytest.raises(InvalidOrder, match=r"there are status, create_time, .*tags\.KEY, .*metrics\.NAME\.last"):
        order_column(parse_order(text), RUN_FIELDS, scope)


FOREIGN = st.text("\N{UMBRELLA}\N{SNOWMAN}'\"\\%_$;-", min_size=1, max_size=12)
FIELDS = st.sampled_from([*RUN_FIELDS, "tags.k", "properties.k", "metrics.m.last", "metrics.m.count"])
OPERATORS = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", ":"])


def quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


@given(FIELDS, OPERATORS, FOREIGN, FOREIGN)
def test_no_text_of_the_caller_comes_into_the_statement(field: str, operator: str, value: str, key: str) -> None:
    marked = f"\N{SNOWMAN}{value}"
    text = (
        f"{field.replace('.k', '.' + quoted(key)).replace('.m.', '.' + quoted(key) + '.')} {operator} {quoted(marked)}"
    )
    try:
        condition, values = compiled(text)
    except InvalidFilter:
        return

    assert condition.isascii()
    assert condition.count("'") % 2 == 0
    assert set(re.findall(r"'([^']*)'", condition)) <= {"{}", "NaN", ""}
    assert values


VALUES = """Running x * a*b null "q" -24h 1 0.5 nan inf true workspaces/team/runs/a workspaces/x 2025-01-31T12:00:00Z
999999999999999999999999999999 1e999 '%'"""
WORDS = st.sampled_from(VALUES.split())
TERMS = st.builds("{} {} {}".format, st.one_of(FIELDS, st.just("archive_time"), st.just("nope")), OPERATORS, WORDS)
FILTERS = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("NOT ({})".format, inner),
        st.builds("-{}".format, TERMS),
    ),
    max_leaves=8,
)


@given(FILTERS, st.sampled_from([RUN_FIELDS, EXPERIMENT_FIELDS]))
def test_any_filter_is_compiled_or_refused(text: str, fields: object) -> None:
    try:
        condition, values = compiled(text, fields)
    except InvalidFilter:
        return

    numbers = {int(number) for number in re.findall(r"\$(\d+)", condition)}
    assert numbers <= set(range(1, len(values) + 2))
