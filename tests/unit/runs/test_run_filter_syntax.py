"""From the text of a filter to its syntax, and what is said of wrong ones."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.runs.errors import InvalidFilter, InvalidOrder
from runstream_server.runs.filter import Node, Order, parse_filter, parse_order
from runstream_server.runs.filter.syntax import And, Not, Or, Term


def shown(node: Node | None) -> str:
    """The tree with all its parentheses."""
    match node:
        case None:
            return ""
        case Term():
            return f"{'.'.join(node.path)}{node.operator}{node.value.text}"
        case Not(inner):
            return f"not {shown(inner)}"
        case And(parts):
            return "(" + " and ".join(map(shown, parts)) + ")"
        case Or(parts):
            return "(" + " or ".join(map(shown, parts)) + ")"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", ""),
        (" \n\t", ""),
        ("status = Running", "status=Running"),
        ("a=1 AND b=2 OR c=3", "(a=1 and (b=2 or c=3))"),
        ("a=1 OR b=2 AND c=3", "((a=1 or b=2) and c=3)"),
        ("a=1 b=2 OR c=3", "(a=1 and (b=2 or c=3))"),
        ("(a=1 AND b=2) OR c=3", "((a=1 and b=2) or c=3)"),
        ("NOT a=1 -b:*", "(not a=1 and not b:*)"),
        ("-(a=1 OR b=2)", "not (a=1 or b=2)"),
        ("NOTE=1 ANDY=2 ORB=3", "(NOTE=1 and ANDY=2 and ORB=3)"),
        ("a = NOT AND b = AND", "(a=NOT and b=AND)"),
        ('tags."worth another look":*', "tags.worth another look:*"),
        ("tags.'it\\'s' = 'so\\\\'", "tags.it's=so\\"),
        ("start_time>-24h", "start_time>-24h"),
        ("create_time >= 2025-01-31T12:00:00+01:00", "create_time>=2025-01-31T12:00:00+01:00"),
        ("run_id = a:b=c+d@e.f", "run_id=a:b=c+d@e.f"),
        (
            'metrics.loss.min<-0.5 metrics."val/loss".last!=1e-3',
            "(metrics.loss.min<-0.5 and metrics.val/loss.last!=1e-3)",
        ),
        ("größe = ü", "größe=ü"),
    ],
)
def test_a_filter_is_taken_apart(text: str, tree: str) -> None:
    assert shown(parse_filter(text)) == tree


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("status", 1, 7, "the filter ends here; expected an operator after the field: = != < <= > >= or :"),
        ("status =", 1, 9, "the filter ends here; expected a value"),
        ("status == Running", 1, 9, "unexpected '='; expected a value"),
        ("(status = Running", 1, 18, "expected a closing parenthesis"),
        ("status = Running)", 1, 17, "unexpected ')'"),
        ("status = Running OR", 1, 20, "expected a field such as status"),
        ('a = 1\n  AND b = "open', 2, 11, "text in quotes that does not end"),
        ("a = 1 AND\n  💥", 2, 3, "unexpected '💥'; expected a field"),
        ('"status" = Running', 1, 1, "expected a field"),
        ("NOT NOT a = 1", 1, 9, "unexpected 'a'"),
        ("tags. = 1", 1, 5, "unexpected '.'"),
        ("a = 'x\0y'", 1, 7, "cannot contain the character NUL"),
    ],
)
def test_a_wrong_filter_is_refused_with_its_position(text: str, line: int, column: int, problem: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(text)

    assert caught.value.message.startswith(f"filter, line {line}, column {column}: ")
    assert problem in caught.value.message
    assert caught.value.metadata == {"line": str(line), "column": str(column)}


def test_a_filter_may_have_8192_characters_and_no_more() -> None:
    longest = "a = " + "x" * 8_188
    parse_filter(longest)

    with pytest.raises(InvalidFilter, match="up to 8192 characters; got 8193"):
        parse_filter(longest + "x")


def test_a_filter_may_be_32_levels_deep_and_no_more() -> None:
    parse_filter("(" * 32 + "a = 1" + ")" * 32)
    parse_filter("-(" * 16 + "a = 1" + ")" * 16)

    with pytest.raises(InvalidFilter, match="up to 32 levels deep"):
        parse_filter("(" * 33 + "a = 1" + ")" * 33)
    with pytest.raises(InvalidFilter, match="up to 32 levels deep"):
        parse_filter("-(" * 17 + "a = 1" + ")" * 17)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a*b", ["a", "b"]),
        ('"a*b*"', ["a", "b", ""]),
        ('"a\\*b"', ["a*b"]),
        ("a\\*b", ["a*b"]),
        ("*", ["", ""]),
        ('"%_\\\\"', ["%_\\"]),
    ],
)
def test_a_star_is_a_wildcard_unless_it_is_escaped(text: str, pieces: list[str]) -> None:
    node = parse_filter(f"a = {text}")

    assert isinstance(node, Term)
    assert list(node.value.pieces) == pieces


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("start_time desc", Order(["start_time"], descending=True)),
        (" start_time  asc ", Order(["start_time"], descending=False)),
        ("number", Order(["number"], descending=False)),
        ('metrics."val/loss".min', Order(["metrics", "val/loss", "min"], descending=False)),
        ("tags.'a desc' desc", Order(["tags", "a desc"], descending=True)),
    ],
)
def test_an_order_is_a_field_and_a_direction(text: str, order: Order) -> None:
    assert parse_order(text) == order


@pytest.mark.parametrize("text", ["start_time descending", "a, b", "-a", "a desc b", "tags.", "a\0", "a" * 8_193, "1"])
def test_a_wrong_order_is_refused(text: str) -> None:
    with pytest.raises(InvalidOrder, match="expected a field, then desc"):
        parse_order(text)


WORDS = """( ) AND OR NOT - = != < >= : * " ' \\ . status tags.k metrics.loss.last Running null -24h 0.5 nan true
2025-01-31T12:00:00Z 💥 %"""
FRAGMENTS = st.lists(st.sampled_from([*WORDS.split(), " ", "\n", "\0"]), max_size=25)


@given(st.one_of(st.text(max_size=40), FRAGMENTS.map("".join), FRAGMENTS.map(" ".join)))
def test_any_text_is_taken_apart_or_refused_as_a_filter(text: str) -> None:
    try:
        parse_filter(text)
    except InvalidFilter as error:
        place = error.metadata
    else:
        return

    assert int(place["line"]) >= 1
    assert 1 <= int(place["column"]) <= len(text) + 1


@given(st.text(max_size=40))
def test_any_text_is_an_order_or_refused_as_one(text: str) -> None:
    with suppress(InvalidOrder):
        parse_order(text)
