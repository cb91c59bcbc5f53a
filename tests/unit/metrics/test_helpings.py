"""Work that is cut into groups of a bounded size."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from runstream_server.metrics.helpings import helpings

SIZES = st.lists(st.integers(0, 20))


@given(SIZES, st.integers(1, 30), st.none() | st.integers(1, 5))
def test_helpings_are_bounded_complete_and_as_large_as_they_may_be(
    sizes: list[int], most: int, most_items: int | None
) -> None:
    groups = [list(group) for group in helpings(sizes, lambda size: size, most, most_items)]

    assert [size for group in groups for size in group] == sizes
    assert all(len(group) == 1 or sum(group) <= most for group in groups)
    assert all(0 < len(group) <= (most_items or len(sizes)) for group in groups)
    for group, following in itertools.pairwise(groups):
        assert sum(group) + following[0] > most or len(group) == most_items
