"""Section 15: filters as the service understands them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.core import _filters as filters


@pytest.mark.parametrize(
    ("labels", "query"),
    [
        (None, ""),
        ({}, ""),
        ("worth another look", 'tags."worth another look":*'),
        ({"quality": "fantastic run"}, 'tags."quality" = "fantastic run"'),
        ({"mark": None}, 'tags."mark" = null'),
        ({"text": "null"}, 'tags."text" = "null"'),
        ({"a": "1", "b": None}, 'tags."a" = "1" AND tags."b" = null'),
        ({'a"b\\': 'c"d\\*'}, 'tags."a\\"b\\\\" = "c\\"d\\\\\\*"'),
    ],
)
def test_labels(labels: filters.Labels, query: str) -> None:
    assert filters.labelled("tags", labels) == query


@pytest.mark.parametrize("labels", [1, ["a"], {"a"}])
def test_labels_of_another_type_are_a_value_error(labels: object) -> None:
    with pytest.raises(ValueError, match="tags"):
        filters.labelled("tags", labels)  # type: ignore[arg-type]


def test_a_type_is_also_looked_for_in_the_run_source() -> None:
    assert filters.of_type("t") == '(run_type = "t" OR properties."azureml.runsource" = "t")'
    assert filters.of_type(None) == ""


def test_terms_are_joined_and_empty_ones_left_out() -> None:
    assert filters.all_of("", "a = 1", "", "b = 2") == "a = 1 AND b = 2"


def test_times_are_utc() -> None:
    local = datetime(2025, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))

    assert filters.started(local, None) == 'start_time > "2025-01-31T12:00:00Z"'
    assert filters.started(None, datetime(2025, 1, 31, 12, tzinfo=UTC)) == 'start_time < "2025-01-31T12:00:00Z"'
    assert filters.to_time(datetime(2025, 1, 31, 12)) == "2025-01-31T12:00:00Z"  # noqa: DTZ001
    assert filters.to_time("-24h") == "-24h"


@given(st.text(), st.text())
def test_quoting_keeps_different_texts_different(one: str, other: str) -> None:
    assert (filters.quote(one) == filters.quote(other)) == (one == other)
