"""Group commit that begins a group while the one before is committed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from runstream_server.appendstreams import Append, AppendKey, AppendLimits, Committed, GroupCommitter, Outcome
from runstream_server.appendstreams.telemetry import AppendMetrics

FULL = 100
LIMITS = AppendLimits(pace_seconds=0, give_up_seconds=0.2, max_group_bytes=FULL)


def append(number: int, size_bytes: int = FULL) -> Append[str]:
    return Append(AppendKey("space", "run", "writer"), 1, number - 1, number, size_bytes, str(number))


@dataclass
class Store:
    """Notes what happens to groups; the first one is held until told."""

    ahead_succeeds: bool = True
    ahead_fails: bool = False
    happened: list[str] = field(default_factory=list)
    first_begun: asyncio.Event = field(default_factory=asyncio.Event)
    first_may_end: asyncio.Event = field(default_factory=asyncio.Event)
    ahead_begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def commit(self, appends: Sequence[Append[str]]) -> Sequence[Outcome]:
        name = ",".join(each.payload or "" for each in appends)
        self.happened.append(f"commit {name}")
        if name == "1":
            self.first_begun.set()
            await self.first_may_end.wait()
        self.happened.append(f"committed {name}")
        return [Committed(each.end) for each in appends]

    async def ahead(
        self, appends: Sequence[Append[str]], turn: Callable[[], Awaitable[object]]
    ) -> Sequence[Outcome] | None:
        self.happened.append(f"ahead {appends[0].payload}")
        self.ahead_begun.set()
        await turn()
        if self.ahead_fails:
            raise RuntimeError("the connection broke")
        if not self.ahead_succeeds:
            return None
        self.happened.append(f"finished {appends[0].payload}")
        return [Committed(each.end) for each in appends]


@asynccontextmanager
async def committer(store: Store) -> AsyncIterator[GroupCommitter[str]]:
    group = GroupCommitter(store.commit, None, LIMITS, AppendMetrics("test"), store.ahead)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(group.run())
        yield group
        running.cancel()


async def second_while_first(store: Store) -> list[Outcome]:
    """What becomes of two full groups, the second of which comes while the first is committed."""
    async with committer(store) as group:
        first = group.submit(append(1))
        await store.first_begun.wait()
        second = group.submit(append(2))
        await store.ahead_begun.wait()
        store.first_may_end.set()
        return [await first, await second]


async def test_a_full_group_is_begun_ahead_and_ends_in_its_turn() -> None:
    store = Store()

    assert await second_while_first(store) == [Committed(1), Committed(2)]
    assert store.happened == ["commit 1", "ahead 2", "committed 1", "finished 2"]


async def test_what_stored_nothing_ahead_is_committed_as_usual() -> None:
    store = Store(ahead_succeeds=False)

    assert await second_while_first(store) == [Committed(1), Committed(2)]
    assert store.happened == ["commit 1", "ahead 2", "committed 1", "commit 2", "committed 2"]


async def test_what_failed_ahead_is_committed_as_usual() -> None:
    store = Store(ahead_fails=True)

    assert await second_while_first(store) == [Committed(1), Committed(2)]
    assert store.happened == ["commit 1", "ahead 2", "committed 1", "commit 2", "committed 2"]


async def test_at_most_one_group_is_begun_ahead() -> None:
    store = Store()
    async with committer(store) as group:
        first = group.submit(append(1))
        await store.first_begun.wait()
        others = [group.submit(append(number)) for number in range(2, 6)]
        await store.ahead_begun.wait()
        assert store.happened == ["commit 1", "ahead 2"]
        store.first_may_end.set()
        await asyncio.gather(first, *others)

    ends = [each for each in store.happened if each.startswith(("committed", "finished"))]
    assert [each.split()[1] for each in ends] == ["1", "2", "3", "4", "5"]


async def test_a_group_that_is_not_full_waits_and_gathers() -> None:
    store = Store()
    async with committer(store) as group:
        first = group.submit(append(1))
        await store.first_begun.wait()
        second, third = group.submit(append(2, 1)), group.submit(append(3, 1))
        store.first_may_end.set()
        await asyncio.gather(first, second, third)

    assert store.happened == ["commit 1", "committed 1", "commit 2,3", "committed 2,3"]


async def test_ending_ends_both_groups() -> None:
    store = Store()
    async with committer(store) as group:
        first = group.submit(append(1))
        await store.first_begun.wait()
        second = group.submit(append(2))
        await store.ahead_begun.wait()

    assert not first.done()
    assert not second.done()
