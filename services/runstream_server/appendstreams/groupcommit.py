"""One transaction for what all streams of a process appended meanwhile."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Generic, TypeAlias

from runstream_server.appendstreams.limits import AppendLimits
from runstream_server.appendstreams.model import Append, Outcome, Payload
from runstream_server.appendstreams.telemetry import AppendMetrics
from runstream_server.errors import LockTimedOut, Unavailable

logger = logging.getLogger(__name__)

_FIRST_BACKOFF_SECONDS = 0.05
_LAST_BACKOFF_SECONDS = 1.0
_AT_ONCE = 0.0

_Group: TypeAlias = Sequence[tuple[Append[Payload], "asyncio.Future[Outcome]"]]

Ahead: TypeAlias = Callable[
    [Sequence[Append[Payload]], Callable[[], Awaitable[object]]], Awaitable[Sequence[Outcome] | None]
]
"""Stores a group, or returns None; called with the group and with what waits for its turn."""


class GroupCommitter(Generic[Payload]):
    """Commits appends in the order they were submitted, many in one transaction, one transaction after the other.

    `commit` stores a group in one transaction and says what became of each append. It must be repeatable: an append
    that is stored already is none of its business. When it fails

    * because the database does not answer, it is repeated, also when its outcome is unknown;
    * because somebody holds a lock, the group is split in halves while there is time: others need not wait for it;
    * for any other reason, the group is split in halves until the append at fault stands alone; of that one `rescue`
      stores what it can.

    `ahead` may begin to store a group while the one before is committed, when there is a full one. It waits for the
    turn of its group before it takes a lock, and returns None when it stored nothing: then `commit` does, as if it had
    never been tried.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Append[Payload]]], Awaitable[Sequence[Outcome]]],
        rescue: Callable[[Append[Payload]], Awaitable[Outcome]] | None,
        limits: AppendLimits,
        metrics: AppendMetrics,
        ahead: Ahead[Payload] | None = None,
    ) -> None:
        self._commit = commit
        self._rescue = rescue
        self._ahead = ahead
        self._limits = limits
        self._metrics = metrics
        self._pending: deque[tuple[Append[Payload], asyncio.Future[Outcome]]] = deque()
        self._pending_bytes = 0
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()

    def submit(self, append: Append[Payload]) -> "asyncio.Future[Outcome]":
        """Queues an append; the caller bounds how much is queued. The future never fails: errors are outcomes."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._pending.append((append, outcome))
        self._pending_bytes += append.size_bytes
        self._arrived.set()
        if self._pending_bytes >= self._limits.max_group_bytes:
            self._full.set()
        return outcome

    async def run(self) -> None:
        """Commits what is submitted, until cancelled."""
        loop = asyncio.get_running_loop()
        begun = 0.0
        before, last = _ended(), _ended()
        async with asyncio.TaskGroup() as committing:
            while True:
                await self._arrived.wait()
                await self._gather(begun + self._limits.pace_seconds - loop.time())
                await before.wait()
                await self._worth_beginning(last)
                begun = loop.time()
                before, last, turn = last, asyncio.Event(), last
                committing.create_task(self._commit_in_turn(self._take(), turn, last), name="append-group")

    async def _worth_beginning(self, last: asyncio.Event) -> None:
        """Waits for the end of the last group; where groups can be begun ahead, a full one does not wait."""
        if self._ahead is None or last.is_set():
            await last.wait()
            return
        waiting = [asyncio.ensure_future(event.wait()) for event in (last, self._full)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)

    async def _commit_in_turn(self, group: _Group[Payload], turn: asyncio.Event, done: asyncio.Event) -> None:
        try:
            if turn.is_set() or not await self._commit_ahead(group, turn):
                await turn.wait()
                with self._metrics.commit():
                    await self._commit_group(group, asyncio.get_running_loop().time() + self._limits.give_up_seconds)
        finally:
            done.set()

    async def _commit_ahead(self, group: _Group[Payload], turn: asyncio.Event) -> bool:
        """Whether the group was stored, of which a part was done before its turn."""
        if self._ahead is None:
            return False
        appends = [append for append, _ in group]
        try:
            outcomes = await self._ahead(appends, turn.wait)
        except Exception as error:
            logger.info("group not begun ahead, but in its turn", exc_info=error)
            outcomes = None
        self._metrics.begun_ahead(stored=outcomes is not None)
        if outcomes is not None:
            self._settle(group, outcomes)
        return outcomes is not None

    async def _gather(self, seconds: float) -> None:
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._full.wait()
            except TimeoutError:
                pass

    def _take(self) -> _Group[Payload]:
        group: list[tuple[Append[Payload], asyncio.Future[Outcome]]] = []
        size = 0
        while self._pending and len(group) < self._limits.max_group_appends:
            following = self._pending[0][0].size_bytes
            if group and size + following > self._limits.max_group_bytes:
                break
            size += following
            group.append(self._pending.popleft())
        self._pending_bytes -= size
        if self._pending_bytes < self._limits.max_group_bytes:
            self._full.clear()
        if not self._pending:
            self._arrived.clear()
        return group

    async def _commit_group(self, group: _Group[Payload], deadline: float) -> None:
        appends = [append for append, _ in group]
        try:
            outcomes = await self._patiently(lambda: self._commit(appends), deadline if len(group) == 1 else _AT_ONCE)
        except Unavailable as error:
            if len(group) > 1 and isinstance(error, LockTimedOut) and asyncio.get_running_loop().time() < deadline:
                await self._commit_halves(group, deadline)
                return
            outcomes = [error] * len(group)
        except Exception as error:  # noqa: BLE001 - one append must not fail the others, whatever is wrong with it
            if len(group) > 1:
                await self._commit_halves(group, deadline)
                return
            outcomes = [await self._alone(appends[0], error)]
        self._settle(group, outcomes)

    def _settle(self, group: _Group[Payload], outcomes: Sequence[Outcome]) -> None:
        self._metrics.committed([append for append, _ in group], outcomes)
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)

    async def _commit_halves(self, group: _Group[Payload], deadline: float) -> None:
        middle = len(group) // 2
        await self._commit_group(group[:middle], deadline)
        await self._commit_group(group[middle:], deadline)

    async def _alone(self, append: Append[Payload], error: Exception) -> Outcome:
        logger.error("append refused by the database", exc_info=error, extra={"run": str(append.key.run_name)})
        rescue = self._rescue
        if rescue is None:
            return error
        try:
            return (await self._patiently(lambda: self._one(rescue, append)))[0]
        except Unavailable as unavailable:
            return unavailable
        except Exception as second:  # noqa: BLE001 - ends its stream as a defect, and no other
            return second

    @staticmethod
    async def _one(
        rescue: Callable[[Append[Payload]], Awaitable[Outcome]], append: Append[Payload]
    ) -> Sequence[Outcome]:
        return [await rescue(append)]

    async def _patiently(
        self, attempt: Callable[[], Awaitable[Sequence[Outcome]]], lock_deadline: float = inf
    ) -> Sequence[Outcome]:
        """Repeats an attempt while the database does not answer; raises Unavailable when that takes too long.

        While something is locked, it is repeated until `lock_deadline` at the latest.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.give_up_seconds
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            try:
                return await attempt()
            except Unavailable as error:
                last = min(deadline, lock_deadline) if isinstance(error, LockTimedOut) else deadline
                if loop.time() + backoff > last:
                    raise
                self._metrics.repeated()
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LAST_BACKOFF_SECONDS)


def _ended() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
