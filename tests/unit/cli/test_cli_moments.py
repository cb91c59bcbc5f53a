"""Short times and durations."""

from datetime import UTC, datetime, timedelta

import pytest

from runstream._cli.moments import ago, duration, local, size, took

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def before(**parts: float) -> str:
    return (NOW - timedelta(**parts)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, ""),
        (before(seconds=-3), "now"),
        (before(milliseconds=999), "now"),
        (before(seconds=59), "59s ago"),
        (before(seconds=60), "1m ago"),
        (before(minutes=59, seconds=59), "59m ago"),
        (before(hours=1), "1h ago"),
        (before(hours=24), "1d ago"),
        (before(days=6, hours=23), "6d ago"),
    ],
)
def test_a_recent_time_is_shown_by_how_long_ago_it_is(text: str | None, shown: str) -> None:
    assert ago(text, NOW) == shown


def test_an_older_time_is_shown_by_its_date_in_the_zone_of_this_machine() -> None:
    assert ago(before(days=7), NOW) == (NOW - timedelta(days=7)).astimezone().strftime("%Y-%m-%d")


def test_an_exact_time_has_how_long_ago_it_is_beside_it_when_that_says_more() -> None:
    assert local(before(minutes=5), NOW).endswith("(5m ago)")
    assert "(" not in local(before(days=30), NOW)
    assert local(None) == ""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0.0s"),
        (0.25, "0.2s"),
        (12.9, "12s"),
        (60, "1m 00s"),
        (3599, "59m 59s"),
        (3600 + 240, "1h 04m"),
        (2 * 86400 + 7 * 3600, "2d 07h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, shown: str) -> None:
    assert duration(timedelta(seconds=seconds)) == shown


def test_a_run_that_has_not_ended_takes_until_now_and_one_that_has_not_started_takes_nothing() -> None:
    assert took(before(seconds=30), None, NOW) == "30s"
    assert took(before(seconds=30), before(seconds=10), NOW) == "20s"
    assert took(None, None, NOW) == ""


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 1024**3, "5.0 GiB"), (3 * 1024**4, "3.0 TiB")],
)
def test_a_size_is_shown_in_the_largest_unit_that_fits(count: int, shown: str) -> None:
    assert size(count) == shown
