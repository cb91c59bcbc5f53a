"""Cuts work into helpings of a bounded size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def helpings(
    items: Iterable[T], size_of: Callable[[T], int], most: int, most_items: int | None = None
) -> Iterator[Sequence[T]]:
    """Cuts items, in order, into groups of at most `most` together, and of at most `most_items`.

    An item that is larger than `most` stands alone.
    """
    helping: list[T] = []
    size = 0
    for each in items:
        if helping and (size + size_of(each) > most or len(helping) == most_items):
            yield helping
            helping, size = [], 0
        helping.append(each)
        size += size_of(each)
    if helping:
        yield helping
