"""Objects that are stored part by part, for what is too large for memory."""

from collections.abc import Sequence
from typing import Protocol


class PartStore(Protocol):
    """The operations of a store that an upload needs. Each may raise BucketUnavailable."""

    async def put(self, key: str, data: bytes) -> None:
        """Stores an object."""

    async def begin_parts(self, key: str) -> str:
        """Begins to store an object part by part; returns the id of that."""

    async def put_part(self, key: str, upload: str, number: int, data: bytes) -> str:
        """Stores a part; returns its tag."""

    async def complete_parts(self, key: str, upload: str, tags: Sequence[str]) -> None:
        """Makes an object of the parts."""


class Upload:
    """Stores one object. Nothing is seen of it before `finish`; who gives up says `Bucket.discard`."""

    def __init__(self, store: PartStore, key: str) -> None:
        self._store = store
        self._key = key
        self._held: bytes | None = None
        self._upload = ""
        self._tags: list[str] = []

    async def write(self, part: bytes) -> None:
        """Takes the next bytes: 5 MiB to 5 GiB, the last ones also fewer; up to 10,000 times."""
        if self._held is not None:
            await self._send(self._held)
        self._held = part

    async def _send(self, part: bytes) -> None:
        if not self._upload:
            self._upload = await self._store.begin_parts(self._key)
        self._tags.append(await self._store.put_part(self._key, self._upload, len(self._tags) + 1, part))

    async def finish(self) -> None:
        """Makes the object visible, all of it at once."""
        if not self._upload:
            await self._store.put(self._key, self._held or b"")
            return
        if self._held:
            await self._send(self._held)
        await self._store.complete_parts(self._key, self._upload, self._tags)
