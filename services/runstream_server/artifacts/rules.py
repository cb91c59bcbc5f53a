"""What the artifact service does with the files of runs."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime

from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.errors import ArtifactNotFound
from runstream_server.artifacts.model import URL_LIFETIME, Artifact, Binding, Content, Download, Listed
from runstream_server.artifacts.store import ArtifactStore
from runstream_server.envelope import StoredBytesDamaged
from runstream_server.errors import InvalidField
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket
from runstream_server.runhistory import RunHistory

_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_DELETED_AT_ONCE = 10_000


class Artifacts:
    """The rules of artifacts."""

    def __init__(
        self,
        store: ArtifactStore,
        content_store: ContentStore,
        contents: Contents,
        bucket: Bucket,
        history: RunHistory,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._content_store = content_store
        self._contents = contents
        self._bucket = bucket
        self._history = history
        self._now = now

    async def bind(self, run: RunName, bindings: Sequence[Binding]) -> Sequence[Artifact]:
        """Binds distinct paths of a run to blobs, all of them or none. Doing so again changes nothing.

        Raises:
            RunNotFound: No run has this name.
            BlobMissing: The workspace does not have a blob.
            ArtifactExists: A path is bound to another blob.
        """
        await self._history.get_run(run)
        return await self._store.bind(run, bindings, self._now())

    async def list_artifacts(self, run: RunName, prefix: str, after: str, count: int) -> Sequence[Listed]:
        """Returns up to `count` artifacts of a run whose paths start with `prefix`, after `after`, in order of path."""
        found = await self._store.list_artifacts(run, prefix, after_prefix(prefix), after, count)
        return [Listed(each.path, each) for each in found]

    async def list_folder(self, run: RunName, prefix: str, after: str, count: int) -> Sequence[Listed]:
        """Returns up to `count` entries of a folder after the entry `after`, in order of path."""
        if not after:
            first = prefix
        elif after.endswith("/"):
            first = after_prefix(after) or ""
        else:
            first = after + "\1"
        return await self._store.list_folder(run, prefix, first, count)

    async def downloads(self, run: RunName, paths: Sequence[str]) -> Sequence[Download]:
        """Returns where to read artifacts, in the order of the paths.

        Raises:
            ArtifactNotFound: The run has no artifact at a path.
        """
        found = await self._store.find(run, paths)
        for path in paths:
            if path not in found:
                raise ArtifactNotFound(path)
        digests = list({artifact.blob.digest for artifact in found.values()})
        contents = await self._content_store.locate(run.workspace, digests)
        downloads = []
        for path in paths:
            downloads.append(await self._download(found[path], contents.get(found[path].blob.digest)))
            await asyncio.sleep(0)  # signing is work without waiting: others go on in between
        return downloads

    async def _download(self, artifact: Artifact, content: Content | None) -> Download:
        if content is None:
            raise _gone(artifact)
        if content.is_packed:
            get = await self._bucket.presign_get(content.object, URL_LIFETIME, start=content.start, end=content.end)
        else:
            get = await self._bucket.presign_get(content.object, URL_LIFETIME)
        return Download(artifact, get)

    async def read(
        self, run: RunName, path: str, start: int, limit: int
    ) -> tuple[Artifact, AsyncGenerator[bytes, None]]:
        """Returns an artifact and a stream of its bytes from `start` on, at most `limit` of them, 0: all.

        Raises:
            ArtifactNotFound: The run has no such artifact.
            InvalidField: `start` is behind its end.
        """
        artifact = (await self._store.find(run, [path])).get(path)
        if artifact is None:
            raise ArtifactNotFound(path)
        size = artifact.blob.size_bytes
        if start > size:
            raise InvalidField("offset_bytes", f"the artifact has {size} bytes; got {start}")
        located = await self._content_store.locate(run.workspace, [artifact.blob.digest], checksums=True)
        content = located.get(artifact.blob.digest)
        if content is None:
            raise _gone(artifact)
        return artifact, self._contents.read(content, start, min(size, start + limit) if limit else size)

    async def delete(self, run: RunName, paths: Sequence[str]) -> int:
        """Unbinds paths; returns how many were bound. Raises RunNotFound."""
        await self._history.get_run(run)
        return await self._store.delete(run, paths)

    async def delete_all(self, run: RunName, prefix: str) -> int:
        """Unbinds all paths that start with a text; returns how many there were. Raises RunNotFound."""
        await self._history.get_run(run)
        deleted = 0
        while count := await self._store.delete_range(run, prefix, after_prefix(prefix), _DELETED_AT_ONCE):
            deleted += count
        return deleted


def _gone(artifact: Artifact) -> StoredBytesDamaged:
    return StoredBytesDamaged(f"blob {artifact.blob.digest} is not known any more")


def after_prefix(prefix: str) -> str | None:
    """The least text, by code point, after all texts that start with `prefix`; None if there is none."""
    while prefix:
        following = ord(prefix[-1]) + 1
        if following in _SURROGATES:
            following = _SURROGATES.stop
        if following <= _LAST_CHARACTER:
            return prefix[:-1] + chr(following)
        prefix = prefix[:-1]
    return None
