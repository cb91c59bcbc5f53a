"""Which appends are new: positions only move without gaps, and everything known already is dropped silently."""

from hypothesis import given
from hypothesis import strategies as st

from runstream_server.appendstreams import Append, AppendKey, Committed, Position, WriterFenced, judge
from runstream_server.metrics.errors import SequenceGap

KEY = AppendKey("space", "run", "writer")


def append(start: int, end: int, epoch: int = 1, key: AppendKey = KEY) -> Append[str]:
    return Append(key, epoch, start, end, 1, f"{start}-{end}")


def test_appends_that_join_on_are_new() -> None:
    positions = {KEY: Position(3, 1)}

    outcomes, new = judge([append(3, 4), append(4, 9)], positions, SequenceGap)

    assert outcomes == [Committed(4), Committed(9)]
    assert [each.payload for each in new] == ["3-4", "4-9"]
    assert positions[KEY].durable == 9


def test_what_is_known_is_acknowledged_and_not_stored_again() -> None:
    outcomes, new = judge([append(1, 2), append(2, 3)], {KEY: Position(3, 1)}, SequenceGap)

    assert outcomes == [Committed(3), Committed(3)]
    assert new == []


def test_a_gap_is_refused_with_what_is_expected_and_nothing_behind_it_is_stored() -> None:
    outcomes, new = judge([append(4, 5), append(5, 6)], {KEY: Position(3, 1)}, SequenceGap)

    assert [outcome.metadata["expected"] for outcome in outcomes if isinstance(outcome, SequenceGap)] == ["4", "4"]
    assert new == []


def test_an_older_stream_stores_nothing() -> None:
    outcomes, new = judge([append(3, 4, epoch=1)], {KEY: Position(3, 2)}, SequenceGap)

    assert isinstance(outcomes[0], WriterFenced)
    assert new == []


def test_a_writer_that_is_gone_stores_nothing() -> None:
    outcomes, new = judge([append(0, 1)], {}, SequenceGap)

    assert isinstance(outcomes[0], WriterFenced)
    assert new == []


def test_one_writer_does_not_hold_up_another() -> None:
    other = KEY._replace(name="other")
    outcomes, new = judge(
        [append(7, 8), append(0, 1, key=other)], {KEY: Position(3, 1), other: Position(0, 1)}, SequenceGap
    )

    assert isinstance(outcomes[0], SequenceGap)
    assert [each.key for each in new] == [other]


def test_a_finish_is_kept_each_time_it_is_said() -> None:
    finish: Append[str] = Append(KEY, 1, 3, 3, 0, None)

    assert judge([finish, finish], {KEY: Position(3, 1)}, SequenceGap)[1] == [finish, finish]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 3), st.integers(1, 2)), max_size=40))
def test_whatever_comes_each_position_is_stored_once_in_order(tries: list[tuple[int, int, int]]) -> None:
    position = Position(0, 2)
    appends = [append(start, start + length, epoch) for start, length, epoch in tries]

    outcomes, new = judge(appends, {KEY: position}, SequenceGap)

    ends = [0, *(each.end for each in new)]
    assert [each.start for each in new] == ends[:-1]
    assert all(each.epoch == 2 for each in new)
    assert ends[-1] == position.durable
    durable = [outcome.durable for outcome in outcomes if isinstance(outcome, Committed)]
    assert durable == sorted(durable)
