"""Section 15: lazy listings."""

from collections.abc import Iterator
from itertools import islice

import pytest

from runstream._channel import loop
from runstream.core._listing import Listing
from runstream.exceptions import ServiceException


@pytest.fixture(autouse=True)
def background() -> Iterator[None]:
    """Leaves no thread behind."""
    yield
    loop.stop()


class Pages:
    """Pages of three numbers, counted as they are fetched."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.fetched = 0

    async def fetch(self, token: str) -> tuple[list[int], str]:
        self.fetched += 1
        first = int(token or 0)
        following = first + 3
        return list(range(first, min(following, self.count))), str(following) if following < self.count else ""


def listing(pages: Pages, limit: int | None = None) -> Listing[int]:
    return Listing("Numbers", pages.fetch, str, limit)


def test_all_pages_are_gone_through() -> None:
    assert list(listing(Pages(8))) == list(range(8))


def test_pages_are_fetched_as_they_are_used_up() -> None:
    pages = Pages(9)

    assert list(islice(listing(pages), 3)) == [0, 1, 2]
    assert pages.fetched == 1


def test_nothing_is_fetched_before_the_first_item() -> None:
    pages = Pages(9)
    listing(pages)

    assert pages.fetched == 0


def test_next_gives_the_first_one_and_an_empty_listing_stops() -> None:
    assert next(listing(Pages(2))) == 0
    with pytest.raises(StopIteration):
        next(listing(Pages(0)))


def test_a_limit_ends_it() -> None:
    pages = Pages(9)

    assert list(listing(pages, limit=4)) == [0, 1, 2, 3]
    assert list(listing(pages, limit=0)) == []
    assert pages.fetched == 2


def test_printing_shows_the_first_items_and_uses_up_nothing() -> None:
    numbers = listing(Pages(9))

    assert repr(numbers) == "<Numbers: 0, 1, 2>"
    assert next(numbers) == 0
    assert repr(listing(Pages(0))) == "<Numbers: none>"


def test_printing_survives_a_service_that_is_away() -> None:
    async def fetch(token: str) -> tuple[list[int], str]:
        raise ServiceException("away", status_code=503)

    assert repr(Listing("Numbers", fetch, str)) == "<Numbers: ...>"


def test_it_has_no_length() -> None:
    with pytest.raises(TypeError):
        len(listing(Pages(1)))  # type: ignore[arg-type]


async def test_it_is_used_by_async_for_as_well() -> None:
    pages = Pages(8)
    numbers = listing(pages, limit=7)

    assert repr(numbers) == "<Numbers: ...>"
    assert [number async for number in numbers] == list(range(7))
