"""What a workspace is told that it has: from then on it may rely on that for the time of grace."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.model import Blob

RENEWALS = 8
"""So often within the grace is it noted that a blob is used: a note per question would be a write per question."""


class Using:
    """Asks for blobs, and keeps what is asked for."""

    def __init__(self, store: ContentStore, grace: timedelta, now: Callable[[], datetime]) -> None:
        self._store = store
        self._grace = grace
        self._now = now

    async def use(self, workspace: str, digests: Sequence[str]) -> Mapping[str, Blob]:
        """Returns those of the blobs that the workspace has, by digest. They stay for the grace."""
        now = self._now()
        return await self._store.use(workspace, digests, now, now - self._grace / RENEWALS)
