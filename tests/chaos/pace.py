"""How far the writers of a test are, and how far they may go: faults come at counts, not at times."""

import asyncio
from collections.abc import Callable


class Pace:
    """Counts what the writers have acknowledged, and holds back those that are far ahead of the faults to come.

    `stride` is the number of batches of one writer between two faults.
    """

    def __init__(self, writers: int, stride: int, faults: int) -> None:
        self.writers = writers
        self.stride = stride
        self.faults = faults
        self._begun = 0
        self._acknowledged: dict[int, int] = {}
        self._changed = asyncio.Event()

    @property
    def batches(self) -> int:
        """How many batches each writer sends."""
        return self.stride * (self.faults + 1)

    @property
    def acknowledged(self) -> int:
        """How many batches of all writers are acknowledged."""
        return sum(self._acknowledged.values())

    def acknowledge(self, writer: int, sequence: int) -> None:
        """Takes note of an acknowledgement."""
        self._acknowledged[writer] = sequence
        self._change()

    async def fault_due(self, strides: float) -> None:
        """Returns when the writers made so many strides; what then goes wrong has another stride of batches to meet."""
        await self.until(lambda: self.acknowledged >= strides * self.stride * self.writers)
        self._begun += 1
        self._change()

    async def may_send(self, sequence: int) -> None:
        """Returns when the batch is not ahead of the next fault, or none comes any more."""
        await self.until(lambda: sequence <= self.stride * (self._begun + 1))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns when a condition holds that depends on these counts."""
        while not condition():
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
