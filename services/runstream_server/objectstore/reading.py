"""Reads objects to their end, whatever connections break on the way."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.errors import BucketUnavailable

if TYPE_CHECKING:
    from runstream_server.objectstore.bucket import Bucket

_ATTEMPTS = 2
_FIRST_PAUSE_SECONDS = 0.1
_RANGE_BYTES = 4 << 20
_RANGES_IN_MEMORY = 10


async def read_on(bucket: "Bucket", key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
    """Yields bytes `start` up to but without `end`, in chunks of at most 1 MiB; goes on where a connection breaks.

    Raises:
        BucketUnavailable: The store failed several times without giving a byte in between.
        ObjectMissing: It is not there.
        StoredBytesDamaged: It is shorter.
    """
    failures = 0
    while start < end:
        try:
            async with bucket.read(key, start=start, end=end) as chunks:
                async for chunk in chunks:
                    yield chunk
                    start += len(chunk)
                    failures = 0
            if start < end:
                raise StoredBytesDamaged(f"object {key} is shorter than it was")
        except BucketUnavailable:
            failures += 1
            if failures == _ATTEMPTS:
                raise
            await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2**failures * random.uniform(0.8, 1.2))


async def in_sizes(chunks: AsyncGenerator[bytes, None], sizes: Iterable[int]) -> AsyncGenerator[bytes, None]:
    """Yields the bytes of chunks, which are as many as the sizes together, in pieces of these sizes."""
    rest = memoryview(b"")
    async with aclosing(chunks):
        for size in sizes:
            parts, missing = [rest[:size]], size - len(rest)
            rest = rest[size:]
            while missing > 0:
                chunk = memoryview(await anext(chunks))
                parts.append(chunk[:missing])
                rest, missing = chunk[missing:], missing - len(chunk)
            yield b"".join(parts)


class ReadAhead:
    """Reads large objects by several requests at a time: most stores give each request a part of their speed only.

    What is read ahead is bounded for all readers of a process together.
    """

    def __init__(self, bucket: "Bucket", requests: int) -> None:
        self._bucket = bucket
        self._requests = requests
        self._room = asyncio.Semaphore(_RANGES_IN_MEMORY)

    async def read(self, key: str, size_bytes: int) -> AsyncGenerator[bytes, None]:
        """Yields an object in order, in chunks of at most 1 MiB; raises as `read_on` does."""
        if self._requests == 1:
            async with aclosing(read_on(self._bucket, key, 0, size_bytes)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        starts = iter(range(0, size_bytes, _RANGE_BYTES))
        under_way: deque[asyncio.Task[list[bytes]]] = deque()
        try:
            while True:
                while len(under_way) < self._requests and not (under_way and self._room.locked()):
                    start = next(starts, None)
                    if start is None:
                        break
                    await self._room.acquire()  # waits only for readers that go on meanwhile: nothing is held here
                    end = min(start + _RANGE_BYTES, size_bytes)
                    under_way.append(asyncio.create_task(self._range(key, start, end)))
                if not under_way:
                    return
                for chunk in await under_way[0]:
                    yield chunk
                under_way.popleft()
                self._room.release()
        finally:
            for task in under_way:
                task.cancel()
                self._room.release()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _range(self, key: str, start: int, end: int) -> list[bytes]:
        return [chunk async for chunk in read_on(self._bucket, key, start, end)]
