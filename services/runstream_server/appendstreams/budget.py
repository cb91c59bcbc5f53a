"""How much of all streams of a process may be in memory."""

import asyncio


class ByteBudget:
    """Counts bytes that were read and are not yet committed.

    A stream asks for room before it reads a message, whose size it does not know yet, so each stream may exceed the
    budget by one message.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._used = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def used_bytes(self) -> int:
        """How much is in memory now."""
        return self._used

    @property
    def exhausted(self) -> bool:
        """Whether a stream has to wait before it reads on."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Waits until the budget is not exhausted."""
        await self._room.wait()

    def take(self, size_bytes: int) -> None:
        """Counts bytes that were read."""
        self._used += size_bytes
        if self._used >= self._limit:
            self._room.clear()

    def change(self, before_bytes: int, after_bytes: int) -> None:
        """Counts bytes that were read as what they became."""
        self.give_back(before_bytes)
        self.take(after_bytes)

    def give_back(self, size_bytes: int) -> None:
        """Counts bytes off."""
        self._used -= size_bytes
        if self._used < self._limit:
            self._room.set()
