"""Reads objects to their end, whatever connections break on the way."""

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.errors import BucketUnavailable

if TYPE_CHECKING:
    from runstream_server.objectstore.bucket import Bucket

_ATTEMPTS = 2
_FIRST_PAUSE_SECONDS = 0.1


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
