"""Reads the bytes of blobs: nothing leaves here that is not what was stored."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.digesting import block_is_well, digest_of, digest_stream
from runstream_server.artifacts.model import BLOCK_BYTES, Content
from runstream_server.artifacts.telemetry import DAMAGED_READS
from runstream_server.envelope import StoredBytesDamaged
from runstream_server.errors import DataLoss
from runstream_server.objectstore import Bucket, read_on

_SPAN_BYTES = 5 << 20
"""A pack that is larger is never read as a whole for some blobs of it."""

_GAP_BYTES = 64 << 10
_MANY_REQUESTS = 4
"""So many requests to one pack cost more than reading all of it."""

_REQUESTS_AT_ONCE = 4


class Contents:
    """Reads contents, checked piece by piece."""

    def __init__(self, store: ContentStore, bucket: Bucket, now: Callable[[], datetime]) -> None:
        self._store = store
        self._bucket = bucket
        self._now = now

    async def read(self, content: Content, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yields bytes `start` up to but without `end`, in pieces of at most 256 KiB, each checked before.

        Raises:
            DataLoss: What is in the bucket is not what was stored; that is noted.
        """
        if content.checksums is None:
            content = await self.check(content)
        try:
            async with aclosing(self._blocks(content, start // BLOCK_BYTES, end)) as blocks:
                async for at, block in blocks:
                    yield block[max(0, start - at) : end - at]
        except DataLoss:
            await self._note_damage(content)
            raise

    async def _blocks(self, content: Content, number: int, end: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yields checked blocks, counted from `number`, with their places, until one reaches `end`."""
        at = number * BLOCK_BYTES
        last = min(-(-end // BLOCK_BYTES) * BLOCK_BYTES, content.blob.size_bytes)
        held = bytearray()
        async with aclosing(read_on(self._bucket, content.object, content.start + at, content.start + last)) as chunks:
            async for chunk in chunks:
                held += chunk
                while len(held) >= BLOCK_BYTES or (held and at + len(held) == last):
                    block = bytes(held[:BLOCK_BYTES])
                    del held[:BLOCK_BYTES]
                    yield at, _checked(content, at // BLOCK_BYTES, block)
                    at += len(block)

    async def check(self, content: Content) -> Content:
        """Reads all of a content, compares its SHA-256 and notes what was found; returns it with checksums.

        Raises:
            DataLoss: What is in the bucket is not what was stored.
        """
        try:
            chunks = read_on(self._bucket, content.object, content.start, content.end)
            async with aclosing(chunks):
                digested = await digest_stream(chunks)
            if digested.blob != content.blob or content.checksums not in (None, digested.checksums):
                raise _damaged(content)
        except DataLoss:
            await self._note_damage(content)
            raise
        await self._store.note_checksums(content, digested.checksums, self._now())
        return replace(content, checksums=digested.checksums)

    async def read_packed(self, contents: Sequence[Content]) -> Sequence[bytes]:
        """Reads small contents of up to a few MiB together, neighbours in a pack by one request; each is checked.

        Raises:
            DataLoss: One of them is not what was stored; that is noted.
        """
        contents = [each if each.checksums is not None else await self.check(each) for each in contents]
        found: dict[int, bytes] = {}
        room = asyncio.Semaphore(_REQUESTS_AT_ONCE)

        async def read(span: Sequence[int]) -> None:
            async with room:
                found.update(await self._read_span(contents, span))

        try:
            async with asyncio.TaskGroup() as tasks:
                for span in _spans(contents):
                    tasks.create_task(read(span))
        except ExceptionGroup as error:
            raise error.exceptions[0] from None
        return [found[place] for place in range(len(contents))]

    async def _read_span(self, contents: Sequence[Content], span: Sequence[int]) -> dict[int, bytes]:
        """Reads contents at places that are near each other in one object."""
        first, last = contents[span[0]], contents[span[-1]]
        chunks = read_on(self._bucket, first.object, first.start, last.end)
        data = b"".join([chunk async for chunk in chunks])
        found = {}
        for place in span:
            content = contents[place]
            found[place] = data[content.start - first.start : content.end - first.start]
            await self._check_small(content, found[place])
        return found

    async def check_packed(self, contents: Sequence[Content]) -> None:
        """Reads small contents together and compares their SHA-256; see `read_packed`."""
        for content, data in zip(contents, await self.read_packed(contents), strict=True):
            if (await asyncio.to_thread(digest_of, data)).blob != content.blob:
                raise _damaged(content)

    async def _note_damage(self, content: Content) -> None:
        DAMAGED_READS.inc()
        await self._store.note_damage(content, self._now())

    async def _check_small(self, content: Content, data: bytes) -> None:
        try:
            for at in range(0, len(data), BLOCK_BYTES):
                _checked(content, at // BLOCK_BYTES, data[at : at + BLOCK_BYTES])
        except DataLoss:
            await self._note_damage(content)
            raise


def _checked(content: Content, number: int, block: bytes) -> bytes:
    if not block_is_well(content.checksums or b"", number, block):
        raise _damaged(content)
    return block


def _damaged(content: Content) -> StoredBytesDamaged:
    return StoredBytesDamaged(f"blob {content.blob.digest} in object {content.object} has other bytes")


def _spans(contents: Sequence[Content]) -> Sequence[Sequence[int]]:
    """Groups places of contents that are to be read by one request, by their order in their objects."""
    order = sorted(range(len(contents)), key=lambda place: (contents[place].object, contents[place].start))
    spans: list[list[int]] = []
    for _, sharing in groupby(order, key=lambda place: contents[place].object):
        places = list(sharing)
        near = _near(contents, places)
        size = contents[places[-1]].end - contents[places[0]].start
        spans.extend([places] if len(near) > _MANY_REQUESTS and size <= _SPAN_BYTES else near)
    return spans


def _near(contents: Sequence[Content], places: Sequence[int]) -> list[list[int]]:
    """Groups places of contents of one object between which there is little else."""
    groups: list[list[int]] = []
    for place in places:
        if groups and contents[place].start - contents[groups[-1][-1]].end <= _GAP_BYTES:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
