"""Orders of what is found, and its pages."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.gateway.mlflow.errors import MlflowError
from runstream_server.gateway.mlflow.search import First, Order, Ordering, Query, Scalar, order_by, parse_order
from runstream_server.gateway.mlflow.search.ordering import COMPARED, MAX_ORDERS
from tests.searched import SCHEMA, Thing, thing

_TIES = [Order("attributes", "time", descending=True, is_number=True), Order("attributes", "id")]


def _ordering(*texts: str) -> Ordering:
    return Ordering(parse_order(texts, SCHEMA), _TIES)


def _page(things: Sequence[Thing], query: Query, *, most: int, token: str) -> tuple[Sequence[Thing], str]:
    """Some things in order, and the token of the next page if there is one."""
    first: First[Thing] = First(query.ordering, most, query.place(token))
    for each in things:
        if first.wants(place := query.ordering.place(each)):
            first.add(place, each)
    found = first.in_order()
    return [each for _, each in found], query.token(found[-1][0]) if first.has_more else ""


def _in_order(things: Sequence[Thing], *texts: str) -> Sequence[Thing]:
    return _page(things, Query([], _ordering(*texts)), most=len(things) or 1, token="")[0]


def _problem(*texts: str) -> str:
    with pytest.raises(MlflowError) as error:
        parse_order(texts, SCHEMA)
    return error.value.message


@st.composite
def _things(draw: st.DrawFn) -> Sequence[Thing]:
    count = draw(st.integers(0, 30))
    values: st.SearchStrategy[dict[str, Scalar]] = st.fixed_dictionaries(
        {"attributes__time": st.integers(0, 3)},
        optional={
            "metrics__a": st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf, -math.inf]),
            "tags__b": st.sampled_from(["", "x", "y", "ä", "z" * 300]),
        },
    )
    return [thing(attributes__id=str(place), **draw(values)) for place in range(count)]


_ORDERS = st.lists(
    st.sampled_from(["metrics.a", "metrics.a DESC", "tags.b ASC", "tags.b desc", "time", "`id` DESC"]), max_size=3
)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("metrics.loss DESC", Order("metrics", "loss", True, True)),
        (" metric.`val loss`  asc ", Order("metrics", "val loss", False, True)),
        ('tags."a b"DESC', Order("tags", "a b", True)),
        ("Created", Order("attributes", "time", False, True)),
        ("attribute.size desc", Order("attributes", "size", True, True)),
    ],
)
def test_an_order_is_taken_apart(text: str, order: Order) -> None:
    assert parse_order([text], SCHEMA) == [order]


@pytest.mark.parametrize(
    "text", ["", "things.a", "other", "metrics.a UP", "metrics.a, metrics.b", "sets.name", "metrics.a-b", "a" * 1_001]
)
def test_a_wrong_order_is_refused_and_repeated(text: str) -> None:
    assert _problem("metrics.a", text).startswith(f"Invalid order_by clause '{text[:200]}")


def test_orders_have_bounds() -> None:
    assert len(parse_order(["name"] * MAX_ORDERS, SCHEMA)) == MAX_ORDERS
    assert _problem(*["name"] * (MAX_ORDERS + 1)) == "Invalid order_by: expected up to 16 items, got 17"


def test_an_order_may_be_told_in_two_fields() -> None:
    assert order_by("metrics.`a b`", SCHEMA, descending=True) == Order("metrics", "a b", True, True)
    with pytest.raises(MlflowError, match="Invalid order_by clause 'name DESC'"):
        order_by("name DESC", SCHEMA, descending=True)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
def test_the_absent_and_nan_come_last_both_ways(direction: str) -> None:
    values = {"a": [1.0], "b": [], "c": [math.nan], "d": [-math.inf], "e": [math.inf]}
    things = [thing(attributes__id=name, attributes__time=1, metrics__a=found) for name, found in values.items()]

    found = [each.values("attributes", "id")[0] for each in _in_order(things, f"metrics.a {direction}")]

    assert found == [*("dae" if direction == "ASC" else "ead"), "b", "c"]


@given(_things(), _ORDERS, st.integers(1, 8))
def test_pages_together_are_the_whole_in_order(things: Sequence[Thing], orders: Sequence[str], most: int) -> None:
    query = Query(["q"], _ordering(*orders))
    whole, found = _in_order(things, *orders), list[Thing]()
    page, token = _page(things, query, most=most, token="")
    while token:
        assert len(page) == most
        found += page
        page, token = _page(things, query, most=most, token=token)
    assert [*found, *page] == list(whole)


@given(_things(), _ORDERS)
def test_an_order_is_that_of_its_values(things: Sequence[Thing], orders: Sequence[str]) -> None:
    expected = sorted(things, key=lambda each: str(each.values("attributes", "id")[0]))
    expected.sort(key=lambda each: -float(each.values("attributes", "time")[0]))
    for order in reversed(parse_order(orders, SCHEMA)):
        present = [each for each in expected if _is_ordered(each, order)]
        absent = [each for each in expected if not _is_ordered(each, order)]
        present.sort(key=lambda each: _text(each, order), reverse=order.descending)
        expected = [*present, *absent]

    assert _in_order(things, *orders) == expected


def _is_ordered(each: Thing, order: Order) -> bool:
    found = each.values(order.entity, order.key)
    return bool(found) and found[0] == found[0]


def _text(each: Thing, order: Order) -> tuple[float, str]:
    value = each.values(order.entity, order.key)[0]
    return (0.0, value) if isinstance(value, str) else (float(value), "")


def test_a_page_behind_one_that_is_gone_or_added_to_goes_on_where_it_was() -> None:
    things = [thing(attributes__id=str(each), attributes__time=each) for each in range(6)]
    query = Query([], _ordering())
    page, token = _page(things, query, most=2, token="")
    assert page == [things[5], things[4]]

    newer = thing(attributes__id="9", attributes__time=9)
    page, _ = _page([*things[:4], newer], query, most=2, token=token)

    assert page == [things[3], things[2]]


def test_a_token_is_of_one_query_only() -> None:
    token = Query(["a", "filter"], _ordering()).token([5, "x"])

    assert Query(["a", "filter"], _ordering()).place(token) == [5, "x"]
    for query in (Query(["b", "filter"], _ordering()), Query(["a", "filter"], _ordering("metrics.a"))):
        with pytest.raises(MlflowError, match="Invalid page_token"):
            query.place(token)


@pytest.mark.parametrize("place", [["x", "x"], [1], [1, 2], [True, "x"], [1, "x", 1], [[], "x"], [math.nan, "x"]])
def test_a_made_up_token_of_no_place_is_refused(place: list[object]) -> None:
    query = Query(["a"], _ordering())
    with pytest.raises(MlflowError, match="Invalid page_token"):
        query.place(query.token(place))  # type: ignore[arg-type]


@pytest.mark.parametrize("token", ["x", "&", "a" * 70_000, "ä"])
def test_nonsense_is_no_token(token: str) -> None:
    with pytest.raises(MlflowError, match="Invalid page_token"):
        Query([], _ordering()).place(token)


def test_the_largest_token_can_be_opened() -> None:
    ordering = _ordering(*["tags.a"] * MAX_ORDERS)
    query = Query([], ordering)
    place = ordering.place(thing(tags__a="\U0001f600" * 8_000, attributes__id="x" * 256, attributes__time=1))

    assert query.place(query.token(place)) == place
    assert place[0] == "\U0001f600" * COMPARED


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), unique_by=lambda each: each[0]), st.integers(1, 5))
def test_what_is_kept_takes_no_more_than_it_may(offered: list[tuple[int, int]], most: int) -> None:
    first: First[int] = First(Ordering([], [Order("a", "b", is_number=True)]), most, None, most_bytes=20)
    for value, size in offered:
        if first.wants([value]):
            first.add([value], value, size)

    found, by_value = [value for _, value in first.in_order()], dict(offered)
    assert found == sorted(by_value)[: len(found)]
    assert len(found) <= most
    assert len(found) == 1 or sum(by_value[each] for each in found) <= 20
    assert first.has_more == (len(found) < len(offered))
