"""What the artifact service does."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from runstream_server.artifacts.errors import ArtifactNotFound
from runstream_server.artifacts.model import URL_LIFETIME, Artifact, BegunUpload, Binding, Blob, Download
from runstream_server.artifacts.store import ArtifactStore
from runstream_server.artifacts.uploads import Uploads
from runstream_server.names import RunName, WorkspaceName
from runstream_server.objectstore import Bucket
from runstream_server.runhistory import RunHistory

_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


class Artifacts:
    """The rules of artifacts."""

    def __init__(
        self,
        store: ArtifactStore,
        uploads: Uploads,
        bucket: Bucket,
        history: RunHistory,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._bucket = bucket
        self._history = history
        self._now = now

    async def missing(self, workspace: WorkspaceName, digests: Sequence[str]) -> Sequence[str]:
        """Returns those of the digests that the workspace has no blob of, in the same order."""
        known = await self._store.known(workspace.workspace, digests)
        return [digest for digest in digests if digest not in known]

    async def begin_upload(self, workspace: WorkspaceName, blob: Blob) -> BegunUpload | None:
        """Begins an upload; None if the workspace has the blob already. Raises WorkspaceNotFound."""
        await self._history.check_workspace(workspace)
        return await self._uploads.begin(workspace, blob)

    async def complete_upload(self, workspace: WorkspaceName, upload_id: str) -> None:
        """Verifies what arrived and makes the blob known; see `Uploads.complete`."""
        await self._uploads.complete(workspace, upload_id)

    async def bind(self, run: RunName, bindings: Sequence[Binding]) -> Sequence[Artifact]:
        """Binds distinct paths of a run to blobs, all of them or none. Doing so again changes nothing.

        Raises:
            RunNotFound: No run has this name.
            BlobMissing: The workspace does not have a blob.
            ArtifactExists: A path is bound to another blob.
        """
        await self._history.get_run(run)
        return await self._store.bind(run, bindings, self._now())

    async def list_artifacts(self, run: RunName, prefix: str, after: str, count: int) -> Sequence[Artifact]:
        """Returns up to `count` artifacts of a run whose paths start with `prefix`, after `after`, in order of path."""
        return await self._store.list_artifacts(run, prefix, after_prefix(prefix), after, count)

    async def downloads(self, run: RunName, paths: Sequence[str]) -> Sequence[Download]:
        """Returns where to read artifacts, in the order of the paths.

        Raises:
            ArtifactNotFound: The run has no artifact at a path.
        """
        found = await self._store.find(run, paths)
        for path in paths:
            if path not in found:
                raise ArtifactNotFound(path)
        downloads = []
        for path in paths:
            url = await self._bucket.presign_get(found[path].blob.key, URL_LIFETIME)
            downloads.append(Download(found[path], url))
            await asyncio.sleep(0)  # signing is work without waiting: others go on in between
        return downloads


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
