"""Stands between clients and servers on the network, and does to connections what networks do."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum

from tests.relayed import sides, until_one_ends

_READ_BYTES = 16_384
_STALL_SECONDS = 0.3
_RESET = struct.pack("ii", 1, 0)


class Fault(Enum):
    """What happens to a connection."""

    CUT = "both sides see its end"
    RESET = "both sides see a reset"
    STALL = "nothing passes for a while, then both sides see a reset"


@dataclass(frozen=True)
class Fate:
    """What happens to a connection after so many bytes, counted over both ways."""

    fault: Fault
    after_bytes: int


class FaultProxy:
    """Passes on what clients and servers say, each connection as far as its fate lets it."""

    def __init__(self, targets: Sequence[str], fates: Callable[[], Fate | None]) -> None:
        self.address = ""
        self.faults = 0
        """How many connections met their fate."""
        self.passed_bytes = 0
        """Bytes that were passed on, both ways."""
        self._targets = targets
        self._fates = fates
        self._accepted = 0
        self._held = asyncio.Event()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def hold(self) -> None:
        """Keeps back what is said from now on, without a word to anybody."""
        self._flowing.clear()

    def release(self) -> None:
        """Delivers what was kept back."""
        self._flowing.set()

    async def held(self) -> None:
        """Returns when something was said that is kept back."""
        await self._held.wait()

    async def flowing(self) -> None:
        """Returns when nothing is to be kept back."""
        if not self._flowing.is_set():
            self._held.set()
        await self._flowing.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection: each goes to the next target."""
        host, _, port = self._targets[self._accepted % len(self._targets)].rpartition(":")
        self._accepted += 1
        async with sides() as opened:
            opened.append(writer)
            target_reader, target_writer = await asyncio.open_connection(host, int(port))
            opened.append(target_writer)
            await _Connection(self, self._fates(), (reader, target_writer), (target_reader, writer)).run()

    def note(self) -> None:
        """Takes note that a connection met its fate."""
        self.faults += 1


class _Connection:
    def __init__(
        self,
        proxy: FaultProxy,
        fate: Fate | None,
        *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._fate = fate
        self._left = fate.after_bytes if fate else 0
        self._ways = ways

    async def run(self) -> None:
        """Passes on both ways until one side ends, or the connection meets its fate."""
        await until_one_ends(*(self._pass_on(*way) for way in self._ways))
        if self._fate is not None and self._left <= 0:
            await self._meet(self._fate)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_READ_BYTES):
            await self._proxy.flowing()
            if self._fate is not None:
                data, self._left = data[: self._left], self._left - len(data)
            writer.write(data)
            self._proxy.passed_bytes += len(data)
            await writer.drain()
            if self._fate is not None and self._left <= 0:
                return

    async def _meet(self, fate: Fate) -> None:
        self._proxy.note()
        if fate.fault is Fault.STALL:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STALL_SECONDS):
                    await asyncio.gather(*(reader.read() for reader, _ in self._ways))
        if fate.fault is not Fault.CUT:
            for _, writer in self._ways:
                reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Breaks a connection so that the other side sees a reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def random_fates(choice: random.Random, count: int, max_bytes: int) -> Callable[[], Fate | None]:
    """Faults of all kinds at random bytes for the first `count` connections, none for later ones."""
    fates = [Fate(choice.choice(list(Fault)), choice.randrange(max_bytes)) for _ in range(count)]
    return lambda: fates.pop() if fates else None


@asynccontextmanager
async def fault_proxy(targets: Sequence[str], fates: Callable[[], Fate | None]) -> AsyncIterator[FaultProxy]:
    """Opens a proxy to servers, which are taken in turn."""
    proxy = FaultProxy(targets, fates)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.address = "{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield proxy
    finally:
        proxy.release()
        server.close()
