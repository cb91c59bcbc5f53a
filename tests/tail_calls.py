"""Calls that tell of what comes until they end."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

import grpc

from tests.append_clients import Failure, failure_of

SECONDS = 20.0


class TailCall(ABC):
    """A call of a tail."""

    ended: Any = 0
    """How it ended, as its last message says."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def hear(self) -> None:
        """Takes the next message, of which there has to be one."""
        async with asyncio.timeout(SECONDS):
            message = await self.call.read()
        assert message is not grpc.aio.EOF
        self.take(message)
        self.ended = message.ended

    @abstractmethod
    def take(self, message: Any) -> None:
        """Takes note of what a message says."""

    async def ends(self) -> int:
        """Hears to the end; how it ended."""
        while not self.ended:
            await self.hear()
        return int(self.ended)

    async def fails(self) -> Failure:
        """Hears until it fails; how."""
        with suppress(grpc.aio.AioRpcError):
            while True:
                await self.hear()
        return await failure_of(self.call)
