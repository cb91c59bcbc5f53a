"""The rules of workspaces."""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from runstream_server.errors import InvalidPageToken
from runstream_server.names import WorkspaceName
from runstream_server.paging import fitting
from runstream_server.runs.errors import WorkspaceExists, WorkspaceNotEmpty, WorkspaceNotFound
from runstream_server.runs.limits import described_bytes
from runstream_server.runs.model import Tags, Workspace, WorkspaceEdits
from runstream_server.runs.store.requests import RequestStore
from runstream_server.runs.store.workspaces import WorkspaceStore
from runstream_server.tokens import Signer

_LISTING = ("workspaces",)


class Workspaces:
    """The rules of workspaces."""

    def __init__(
        self, store: WorkspaceStore, requests: RequestStore, signer: Signer, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._requests = requests
        self._signer = signer
        self._now = now

    async def create(
        self,
        workspace: str,
        *,
        display_name: str,
        description: str,
        tags: Tags,
        log_retention: timedelta | None,
        request_id: uuid.UUID | None,
        return_existing: bool,
    ) -> Workspace:
        """Creates a workspace, or returns the one there is where that was asked for or the request made it.

        Raises:
            WorkspaceExists: The name is taken.
        """
        now = self._now()
        new = Workspace(workspace, display_name or workspace, description, tags, now, now, log_retention)
        if await self._store.create(new, request_id):
            return new
        if not return_existing and await self._requests.made(workspace, "workspace", request_id) is None:
            raise WorkspaceExists(workspace)
        return await self.get(workspace)

    async def get(self, workspace: str) -> Workspace:
        """Returns a workspace; raises WorkspaceNotFound if there is none."""
        found = await self._store.get(workspace)
        if found is None:
            raise WorkspaceNotFound(workspace)
        return found

    async def list(
        self, page_size: int, page_token: str, *, only: WorkspaceName | None = None
    ) -> tuple[Sequence[Workspace], str]:
        """Returns a page of workspaces in order of name, and the token of the next page.

        `only` is the one that the caller reaches; None: all.

        Raises:
            InvalidPageToken: The token is not of this listing.
        """
        after = self._opened(page_token) if page_token else ""
        if only is not None:
            own = await self._store.get(only.workspace)
            return [own] if own else [], ""
        found = await self._store.list(after, page_size + 1)
        page = fitting(found[:page_size], described_bytes)
        return page, self._signer.seal(_LISTING, [page[-1].workspace]) if len(found) > len(page) else ""

    def _opened(self, token: str) -> str:
        content = self._signer.open(_LISTING, token)
        if content is None:
            raise InvalidPageToken
        return str(content[0])

    async def update(self, workspace: str, edits: WorkspaceEdits) -> Workspace:
        """Changes a workspace; raises WorkspaceNotFound if there is none."""
        updated = await self._store.update(workspace, edits, self._now())
        if updated is None:
            raise WorkspaceNotFound(workspace)
        return updated

    async def delete(self, workspace: str) -> None:
        """Deletes a workspace.

        Raises:
            WorkspaceNotFound: There is none.
            WorkspaceNotEmpty: It holds experiments.
        """
        deleted = await self._store.delete(workspace)
        if deleted is None:
            raise WorkspaceNotFound(workspace)
        if not deleted:
            raise WorkspaceNotEmpty(workspace)
