"""Group commit: many appends in one transaction, repeated when the database is away, split when one is at fault."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from runstream_server.appendstreams import Append, AppendKey, AppendLimits, Committed, GroupCommitter, Outcome
from runstream_server.appendstreams.telemetry import AppendMetrics
from runstream_server.errors import DatabaseUnavailable, LockTimedOut

Commit: TypeAlias = Callable[[Sequence[Append[str]]], Awaitable[Sequence[Outcome]]]
QUICK = AppendLimits(pace_seconds=0, give_up_seconds=0.2)


def append(number: int, size_bytes: int = 1) -> Append[str]:
    return Append(AppendKey("space", "run", "writer"), 1, number - 1, number, size_bytes, str(number))


@asynccontextmanager
async def committer(
    commit: Commit,
    limits: AppendLimits = QUICK,
    rescue: Callable[[Append[str]], Awaitable[Outcome]] | None = None,
) -> AsyncIterator[GroupCommitter[str]]:
    group = GroupCommitter(commit, rescue, limits, AppendMetrics("test"))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(group.run())
        yield group
        running.cancel()


def committed(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
    return [Committed(each.end) for each in appends]


async def test_what_comes_during_a_commit_shares_the_next_one() -> None:
    groups: list[list[int]] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def commit(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        groups.append([each.end for each in appends])
        begun.set()
        await go_on.wait()
        return committed(appends)

    async with committer(commit) as group:
        first = group.submit(append(1))
        await begun.wait()
        others = [group.submit(append(number)) for number in range(2, 6)]
        go_on.set()
        assert await asyncio.gather(first, *others) == [Committed(number) for number in range(1, 6)]

    assert groups == [[1], [2, 3, 4, 5]]


async def test_a_group_is_bounded_in_bytes_and_in_number() -> None:
    groups: list[int] = []

    async def commit(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        groups.append(len(appends))
        return committed(appends)

    async with committer(commit, AppendLimits(pace_seconds=0, max_group_bytes=100, max_group_appends=3)) as group:
        await asyncio.gather(
            *(group.submit(append(number, size)) for number, size in enumerate([60, 60, 500, 1, 1, 1, 1], 1))
        )

    assert groups == [1, 1, 1, 3, 1]


async def test_a_commit_is_repeated_while_the_database_is_away() -> None:
    tries = 0

    async def commit(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise DatabaseUnavailable
        return committed(appends)

    async with committer(commit) as group:
        assert await group.submit(append(1)) == Committed(1)

    assert tries == 3


async def test_a_database_that_stays_away_is_told_and_later_appends_are_tried_again() -> None:
    away = True

    async def commit(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        if away:
            raise DatabaseUnavailable
        return committed(appends)

    async with committer(commit) as group:
        assert isinstance(await group.submit(append(1)), DatabaseUnavailable)
        away = False
        assert await group.submit(append(1)) == Committed(1)


async def test_one_append_at_fault_fails_alone() -> None:
    async def commit(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        if any(each.payload == "5" for each in appends):
            raise ValueError("five")
        return committed(appends)

    async with committer(commit) as group:
        outcomes = await asyncio.gather(*(group.submit(append(number)) for number in range(1, 9)))

    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [number == 5 for number in range(1, 9)]


async def test_an_append_at_fault_is_rescued_as_far_as_possible() -> None:
    async def commit(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        raise ValueError

    async def rescue(at_fault: Append[str]) -> Outcome:
        return Committed(at_fault.end)

    async with committer(commit, rescue=rescue) as group:
        outcomes = await asyncio.gather(*(group.submit(append(number)) for number in range(1, 4)))

    assert outcomes == [Committed(1), Committed(2), Committed(3)]


async def test_a_client_that_went_away_does_not_disturb_the_others() -> None:
    async def commit(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        return committed(appends)

    async with committer(commit) as group:
        gone, stayed = group.submit(append(1)), group.submit(append(2))
        gone.cancel()
        assert await stayed == Committed(2)


async def test_a_lock_holds_up_only_what_it_concerns() -> None:
    released = asyncio.Event()
    tries: list[list[int]] = []

    async def commit(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        tries.append([each.end for each in appends])
        if any(each.payload == "5" for each in appends) and not released.is_set():
            raise LockTimedOut
        return committed(appends)

    async with committer(commit, AppendLimits(pace_seconds=0), rescue=never) as group:
        outcomes = [group.submit(append(number)) for number in range(1, 9)]
        assert await asyncio.gather(*outcomes[:4]) == [Committed(number) for number in range(1, 5)]
        released.set()
        assert await asyncio.gather(*outcomes[4:]) == [Committed(number) for number in range(5, 9)]

    assert tries[:4] == [list(range(1, 9)), [1, 2, 3, 4], [5, 6, 7, 8], [5, 6]]


async def test_a_lock_that_stays_makes_what_it_concerns_unavailable_and_refuses_nothing() -> None:
    async def commit(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        if any(each.payload == "5" for each in appends):
            raise LockTimedOut
        return committed(appends)

    async with committer(commit, rescue=never) as group:
        outcomes = await asyncio.gather(*(group.submit(append(number)) for number in range(1, 9)))

    assert [isinstance(outcome, LockTimedOut) for outcome in outcomes] == [number == 5 for number in range(1, 9)]


async def test_when_everything_is_locked_nobody_waits_for_each_append_in_turn() -> None:
    tries = 0

    async def commit(appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        nonlocal tries
        tries += 1
        raise LockTimedOut

    async with committer(commit, AppendLimits(pace_seconds=0, give_up_seconds=0)) as group:
        outcomes = await asyncio.gather(*(group.submit(append(number)) for number in range(1, 9)))

    assert all(isinstance(outcome, LockTimedOut) for outcome in outcomes)
    assert tries == 1


async def never(at_fault: Append[str]) -> Outcome:
    raise AssertionError(f"{at_fault} is not at fault")
