"""Keeps requests to a cluster from being answered."""

import asyncio


class Halt:
    """Lets one request, or its answer, take for ever."""

    def __init__(self, plural: str) -> None:
        self.reached = asyncio.Event()
        self._plural = plural

    async def __call__(self, method: str, plural: str) -> None:
        if (method, plural) == ("POST", self._plural):
            self.reached.set()
            await asyncio.Event().wait()


async def pass_on(method: str, plural: str) -> None:
    """Lets everything pass."""
