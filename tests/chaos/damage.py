"""What may happen to stored bytes, wherever they lie, and what the services say to it."""

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import grpc

from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres

Read: TypeAlias = Callable[[], Awaitable[object]]
"""Reads something through the services."""


class Cell(ABC):
    """Some stored bytes."""

    @abstractmethod
    async def load(self) -> bytes:
        """What is stored."""

    @abstractmethod
    async def save(self, data: bytes) -> None:
        """Stores something else, behind the back of the services."""


@dataclass(frozen=True)
class StoredObject(Cell):
    """An object in the bucket."""

    bucket: Bucket
    key: str

    async def load(self) -> bytes:
        return await self.bucket.get(self.key)

    async def save(self, data: bytes) -> None:
        await self.bucket.put(self.key, data)


@dataclass(frozen=True)
class StoredColumn(Cell):
    """A column of one row."""

    postgres: Postgres
    table: str
    column: str
    ctid: str
    """A condition that only this row meets."""

    async def load(self) -> bytes:
        found: bytes = await self.postgres.fetchval(f"SELECT {self.column} FROM {self.table} WHERE {self.ctid}")
        return found

    async def save(self, data: bytes) -> None:
        await self.postgres.execute(f"UPDATE {self.table} SET {self.column} = $1 WHERE {self.ctid}", data)


@dataclass(frozen=True)
class Kept:
    """Stored bytes, who reads them, and what a scrub calls them."""

    kind: str
    cell: Cell
    reads: Sequence[tuple[Read, object]]
    """What is read from them, and what it is."""

    scrubbed: str
    """A word that a scrub says of this damage and of no other."""

    first: int = 0
    end: int | None = None
    """Which of the bytes are read by anybody."""

    can_be_cut: bool = True


async def flip(kept: Kept, choice: random.Random) -> None:
    """Flips one bit."""
    data = bytearray(await kept.cell.load())
    place = choice.randrange(kept.first, len(data) if kept.end is None else kept.end)
    data[place] ^= 1 << choice.randrange(8)
    await kept.cell.save(bytes(data))


async def truncate(kept: Kept, choice: random.Random) -> None:
    """Cuts off the end, all of it at worst, and at least something that is read."""
    data = await kept.cell.load()
    await kept.cell.save(data[: choice.randrange(len(data) if kept.end is None else kept.end)])


async def swap(one: Kept, other: Kept) -> None:
    """Exchanges the bytes of two."""
    data, others = await one.cell.load(), await other.cell.load()
    await one.cell.save(others)
    await other.cell.save(data)


async def check_read(kept: Kept, *, damaged: bool) -> None:
    """Asserts that nothing but what was stored is read; and where it is damaged, that somebody is told so."""
    lost = 0
    for read, expected in kept.reads:
        try:
            assert await read() == expected, f"wrong bytes of {kept.kind} {kept.scrubbed}"
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.DATA_LOSS, f"{kept.kind} {kept.scrubbed}: {error.details()}"  # noqa: PT017 - the rest is what the test is about
            lost += 1
    assert bool(lost) == damaged, f"{kept.kind} {kept.scrubbed}: {lost} of {len(kept.reads)} are told as lost"
