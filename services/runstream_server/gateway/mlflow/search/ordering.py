"""Orders of what is found, and places in them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runstream_server.gateway.mlflow.errors import MlflowError, wrong
from runstream_server.gateway.mlflow.search.clauses import Subject
from runstream_server.gateway.mlflow.search.scanner import Scanner, Unreadable
from runstream_server.gateway.mlflow.search.schema import Scalar, Schema

MAX_ORDERS = 16
COMPARED = 200
"""By how many of their first characters texts are ordered. Bounds page tokens together with `MAX_ORDERS`."""

_MAX_ITEM = 1_000
_SHOWN = 200
_DIRECTION = re.compile(r"(ASC|DESC)\b", re.IGNORECASE)

Place = Sequence[Scalar | None]
"""Where something stands in an ordering: by each of its orders a value, None for what is absent or NaN."""

Key = tuple[Any, ...]
"""A place that can be compared with others of the same ordering."""


@dataclass(frozen=True, slots=True)
class Order:
    """One of the keys that things are ordered by."""

    entity: str
    key: str
    descending: bool = False
    is_number: bool = False


def parse_order(texts: Sequence[str], schema: Schema) -> Sequence[Order]:
    """Takes the items of an `order_by` apart: `metrics.loss DESC`.

    Raises:
        MlflowError: There are too many, or one is wrong; repeats it.
    """
    if len(texts) > MAX_ORDERS:
        raise wrong(f"Invalid order_by: expected up to {MAX_ORDERS} items, got {len(texts)}")
    return [_parsed(text, schema) for text in texts]


def order_by(key: str, schema: Schema, *, descending: bool) -> Order:
    """An order by a key, `metrics.loss` for example; raises MlflowError if there is none of that name."""
    order = _parsed(key, schema, with_direction=False)
    return Order(order.entity, order.key, descending, order.is_number)


def _parsed(text: str, schema: Schema, *, with_direction: bool = True) -> Order:
    try:
        if len(text) > _MAX_ITEM:
            raise Unreadable(f"expected up to {_MAX_ITEM} characters")
        scanner = Scanner(text)
        entity, key, field = scanner.take_key(schema)
        direction = scanner.take(_DIRECTION) if with_direction else None
        if not field.can_order:
            raise Unreadable(f"nothing is ordered by {entity}.{key}")
        if not scanner.is_at_end:
            raise Unreadable("expected a key such as metrics.loss, then ASC or DESC")
    except Unreadable as error:
        raise _invalid(text, str(error)) from None
    return Order(entity, key, bool(direction and direction[1].upper() == "DESC"), field.is_number)


def _invalid(text: str, problem: str) -> MlflowError:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return wrong(f"Invalid order_by clause '{shown}': {problem}")


class Ordering:
    """Says what stands before what. Absent values and NaN come last in both directions."""

    def __init__(self, asked: Sequence[Order], ties: Sequence[Order]) -> None:
        """`ties` decide where `asked` do not; no two things may be equal by all of them."""
        self.orders = [*asked, *ties]

    def place(self, subject: Subject) -> Place:
        """Where something stands."""
        return [_value(subject.values(order.entity, order.key)) for order in self.orders]

    def key(self, place: Place) -> Key:
        """What places are compared by; also of the beginning of a place."""
        return tuple(map(_part, place, self.orders))

    def is_place(self, content: Sequence[object]) -> bool:
        """Whether something can be a place."""
        return len(content) == len(self.orders) and all(map(_fits, content, self.orders))


def _value(found: Sequence[Scalar]) -> Scalar | None:
    if not found:
        return None
    value = found[0]
    if isinstance(value, str):
        return value[:COMPARED]
    return None if math.isnan(value) else value


def _part(value: Scalar | None, order: Order) -> tuple[bool, Any]:
    if value is None:
        return True, 0
    if not order.descending:
        return False, value
    return False, _Descending(value) if isinstance(value, str) else -value


def _fits(value: object, order: Order) -> bool:
    if order.is_number:
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value == value)
    return value is None or isinstance(value, str)


@dataclass(frozen=True, slots=True)
class _Descending:
    """A text, the greater ones before the lesser ones."""

    text: str

    def __lt__(self, other: "_Descending") -> bool:
        return self.text > other.text
