"""Reads all bytes again, to find what the bucket lost or changed before somebody needs it."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.model import MAX_SMALL_BLOB_BYTES, Content
from runstream_server.artifacts.scrub_store import Damage, ScrubStore
from runstream_server.errors import DataLoss

_GROUP_BYTES = 4 << 20


@dataclass(slots=True)
class Scrub:
    """What was found."""

    contents: int = 0
    """How many contents were read."""

    size_bytes: int = 0
    damaged: list[Damage] = field(default_factory=list)
    """Those whose bytes are not what was stored. Whoever sends one of them again mends it."""


class Scrubber:
    """Reads contents and compares them with their digests."""

    def __init__(self, store: ScrubStore, contents: Contents, now: Callable[[], datetime]) -> None:
        self._store = store
        self._contents = contents
        self._now = now

    async def scrub(self) -> Scrub:
        """Reads every content once; holds a few MiB of them."""
        found = Scrub()
        async for group in self._groups():
            found.contents += len(group)
            found.size_bytes += sum(content.blob.size_bytes for content in group)
            if not await self._is_well(group):
                found.damaged.extend([each async for each in self._damaged(group)])
        return found

    async def _groups(self) -> AsyncIterator[Sequence[Content]]:
        """Yields the contents: those of a pack together, all others one by one."""
        after = ("", b"")
        while page := await self._store.page(after):
            after = (page[-1].object, bytes.fromhex(page[-1].blob.digest))
            for _, sharing in groupby(page, key=lambda content: content.object):
                for group in _bounded(list(sharing)):
                    yield group

    async def _is_well(self, group: Sequence[Content]) -> bool:
        try:
            if group[0].blob.size_bytes > MAX_SMALL_BLOB_BYTES:
                await self._contents.check(group[0])
            else:
                await self._contents.check_packed(group)
                await self._store.note_well(group, self._now())
        except DataLoss:
            return False
        return True

    async def _damaged(self, group: Sequence[Content]) -> AsyncIterator[Damage]:
        """Yields what is damaged of contents that were not all well."""
        for content in group:
            try:
                await self._contents.check(content)
            except DataLoss as error:
                yield await self._store.damage(content, error.message)


def _bounded(contents: Sequence[Content]) -> Sequence[Sequence[Content]]:
    """Cuts contents of one object into groups of a few MiB."""
    groups: list[list[Content]] = []
    room = 0
    for content in contents:
        room -= content.blob.size_bytes
        if not groups or room < 0:
            groups.append([])
            room = _GROUP_BYTES - content.blob.size_bytes
        groups[-1].append(content)
    return groups
