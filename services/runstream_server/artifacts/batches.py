"""Reads many small artifacts together: those that lie together in the bucket by one request."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from typing import TypeAlias, TypeVar

from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.errors import ArtifactDamaged, ArtifactNotFound
from runstream_server.artifacts.model import BLOCK_BYTES, MAX_SMALL_BLOB_BYTES, MIB, Artifact, Content
from runstream_server.artifacts.store import ArtifactStore
from runstream_server.errors import DataLoss, InvalidField
from runstream_server.names import RunName

_GROUP_BYTES = MIB
_MOST_TOGETHER = 500
_AT_ONCE = 4
"""So many groups a process reads at the same time: each may take some MiB of the packs it is spread over."""

Located: TypeAlias = tuple[Artifact, Content]
WithBytes: TypeAlias = tuple[Artifact, bytes]
T = TypeVar("T")


class Batches:
    """Reads small artifacts, checked."""

    def __init__(self, store: ArtifactStore, content_store: ContentStore, contents: Contents) -> None:
        self._store = store
        self._content_store = content_store
        self._contents = contents
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def read(self, run: RunName, paths: Sequence[str]) -> AsyncGenerator[Sequence[WithBytes], None]:
        """Yields the artifacts at distinct paths with their bytes: up to 256 KiB together, or a larger one by itself.

        They come by their places in the bucket. A MiB of them is held.

        Raises:
            ArtifactNotFound: The run has no artifact at a path; nothing was yielded.
            InvalidField: An artifact has more than 1 MiB; nothing was yielded.
            ArtifactDamaged: An artifact is not what was stored; all others were yielded.
        """
        located, lost = await self._locate(run, await self._find(run, paths))
        for group in _cut(located, lambda each: each[0].blob.size_bytes, _GROUP_BYTES):
            async with self._room:
                found, damaged = await self._read(group)
            lost.extend(damaged)
            for some in _cut(found, lambda each: len(each[1]), BLOCK_BYTES):
                yield some
        if lost:
            raise ArtifactDamaged(lost[0].path)

    async def _find(self, run: RunName, paths: Sequence[str]) -> Sequence[Artifact]:
        found = await self._store.find(run, paths)
        for place, path in enumerate(paths):
            if path not in found:
                raise ArtifactNotFound(path)
            if (size := found[path].blob.size_bytes) > MAX_SMALL_BLOB_BYTES:
                problem = (
                    f"{path} has {size} bytes; up to {MAX_SMALL_BLOB_BYTES} are read with others, use GetDownloadUrls"
                )
                raise InvalidField(f"paths[{place}]", problem)
        return list(found.values())

    async def _locate(self, run: RunName, artifacts: Sequence[Artifact]) -> tuple[Sequence[Located], list[Artifact]]:
        """Artifacts by their places in the bucket, and those of which none is known."""
        digests = list({artifact.blob.digest for artifact in artifacts})
        contents = await self._content_store.locate(run.workspace, digests, checksums=True)
        located = [(each, contents[each.blob.digest]) for each in artifacts if each.blob.digest in contents]
        located.sort(key=lambda each: (each[1].object, each[1].start))
        return located, [each for each in artifacts if each.blob.digest not in contents]

    async def _read(self, group: Sequence[Located]) -> tuple[list[WithBytes], list[Artifact]]:
        """Artifacts with their bytes, and those that are damaged, which halving the group again and again finds."""
        if len(group) == 1:
            return await self._read_one(*group[0])
        try:
            data = await self._contents.read_packed([content for _, content in group])
        except DataLoss:
            found, damaged = await self._read(group[: len(group) // 2])
            more_found, more_damaged = await self._read(group[len(group) // 2 :])
            return found + more_found, damaged + more_damaged
        return [(artifact, each) for (artifact, _), each in zip(group, data, strict=True)], []

    async def _read_one(self, artifact: Artifact, content: Content) -> tuple[list[WithBytes], list[Artifact]]:
        """As `_read`; that it is damaged is noted, so that whoever sends the bytes again mends it."""
        try:
            pieces = [piece async for piece in self._contents.read(content, 0, content.blob.size_bytes)]
        except DataLoss:
            return [], [artifact]
        return [(artifact, b"".join(pieces))], []


def _cut(items: Iterable[T], size_of: Callable[[T], int], most_bytes: int) -> Iterator[Sequence[T]]:
    """The items in pieces of at most so many bytes, or of one item that has more."""
    some: list[T] = []
    total = 0
    for item in items:
        size = size_of(item)
        if some and (len(some) == _MOST_TOGETHER or total + size > most_bytes):
            yield some
            some, total = [], 0
        some.append(item)
        total += size
    if some:
        yield some
