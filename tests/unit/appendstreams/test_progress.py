"""What a stream has in flight, and what it tells its client."""

import asyncio

from runstream_server.appendstreams import Committed, Notice, Refusal
from runstream_server.appendstreams.budget import ByteBudget
from runstream_server.appendstreams.progress import REFUSALS_AT_ONCE, Progress
from tests.conditions import begun

REFUSAL = Refusal(1, "m", "NO_VALUES", "none", 0)


async def test_acknowledgements_merge_into_the_latest_with_all_refusals() -> None:
    progress = Progress(100)
    for end in (1, 2, 3):
        progress.take(10)
        progress.commit(Committed(end, [REFUSAL]), 10)

    acknowledgement = progress.take_acknowledgement()
    assert acknowledgement is not None
    assert (acknowledgement.durable, acknowledgement.refusals) == (3, [REFUSAL] * 3)
    assert progress.take_acknowledgement() is None


async def test_what_was_durable_before_is_acknowledged_again() -> None:
    progress = Progress(100)
    progress.begin(7)
    progress.repeat()

    acknowledgement = progress.take_acknowledgement()
    assert acknowledgement is not None
    assert acknowledgement.durable == 7


async def test_there_is_room_again_when_the_acknowledgement_is_written_and_not_before() -> None:
    progress = Progress(10)
    progress.take(10)
    waiting = await begun(progress.room())
    progress.commit(Committed(1), 10)
    acknowledgement = progress.take_acknowledgement()
    committed = await begun(progress.room())
    assert not waiting.done()
    assert not committed.done()

    assert acknowledgement is not None
    progress.written(acknowledgement)
    await asyncio.gather(waiting, committed)


async def test_all_is_settled_when_each_piece_is_acknowledged() -> None:
    progress = Progress(10)
    progress.take(0)
    settled = await begun(progress.settled())
    assert not settled.done()

    progress.commit(Committed(1), 0)
    acknowledgement = progress.take_acknowledgement()
    assert acknowledgement is not None
    progress.written(acknowledgement)
    await settled


async def test_nothing_is_waited_for_after_the_end() -> None:
    progress = Progress(10)
    progress.take(1)
    progress.close()

    await progress.settled()
    assert not await progress.news()


async def test_what_was_to_be_told_is_told_before_the_end() -> None:
    progress = Progress(10)
    progress.notice(Notice.DRAINING)
    progress.notice(Notice.DRAINING)
    progress.close()

    assert await progress.news()
    assert progress.take_notices() == [Notice.DRAINING]
    assert not await progress.news()


async def test_streams_wait_while_the_budget_is_exhausted() -> None:
    budget = ByteBudget(10)
    await budget.room()
    budget.take(25)
    waiting = await begun(budget.room())
    assert budget.exhausted

    budget.give_back(14)
    assert budget.exhausted
    assert not waiting.done()
    budget.give_back(2)
    await waiting
    assert budget.used_bytes == 9


async def test_many_refusals_come_ahead_of_the_position_that_covers_them() -> None:
    progress = Progress(100)
    progress.begin(3)
    progress.take(10)
    progress.commit(Committed(4, [REFUSAL] * (2 * REFUSALS_AT_ONCE + 1)), 10)

    handed_out = [progress.take_acknowledgement() for _ in range(4)]
    assert [(each.durable, len(each.refusals), each.covered_count) for each in handed_out if each] == [
        (3, REFUSALS_AT_ONCE, 0),
        (3, REFUSALS_AT_ONCE, 0),
        (4, 1, 1),
    ]


def test_what_was_read_counts_as_what_it_became() -> None:
    budget = ByteBudget(100)
    budget.take(100)
    assert budget.exhausted
    budget.change(100, 20)
    assert (budget.exhausted, budget.used_bytes) == (False, 20)
    budget.change(20, 200)
    assert budget.exhausted
