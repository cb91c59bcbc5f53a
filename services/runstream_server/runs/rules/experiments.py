"""The rules of experiments."""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime

from runstream_server.errors import InvalidPageToken
from runstream_server.paging import fitting
from runstream_server.runs.errors import (
    ExperimentExists,
    ExperimentNotEmpty,
    ExperimentNotFound,
    TooManyTags,
    WorkspaceNotFound,
)
from runstream_server.runs.filter import parse_filter
from runstream_server.runs.identifiers import Identifiers
from runstream_server.runs.limits import LABELS_BYTES, TAGS, described_bytes
from runstream_server.runs.model import Edits, Experiment, Tags
from runstream_server.runs.store.experiments import ExperimentStore, NameTaken
from runstream_server.runs.store.requests import RequestStore
from runstream_server.runs.store.workspaces import WorkspaceStore
from runstream_server.tokens import Signer


class Experiments:
    """The rules of experiments."""

    def __init__(
        self,
        store: ExperimentStore,
        workspaces: WorkspaceStore,
        requests: RequestStore,
        signer: Signer,
        identifiers: Identifiers,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._workspaces = workspaces
        self._requests = requests
        self._signer = signer
        self._identifiers = identifiers
        self._now = now

    async def create(
        self,
        workspace: str,
        *,
        display_name: str,
        description: str,
        tags: Tags,
        request_id: uuid.UUID | None,
        return_existing: bool,
    ) -> Experiment:
        """Creates an experiment, or returns the active one of that name where that was asked for.

        Any number of callers at once get the same one. A repeated request gets what the first one made.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            ExperimentExists: An active experiment has this display name.
        """
        while True:
            existing = await self._store.active(workspace, display_name) if return_existing else None
            if existing is not None:
                return existing
            now = self._now()
            identifier = self._identifiers.make()
            new = Experiment(workspace, identifier, display_name, description, tags, now, now, None)
            if await self._store.create(new, request_id):
                return new
            made = await self._requests.made(workspace, "experiment", request_id)
            if made is not None:
                return await self.get(workspace, made[0])
            await self._check_workspace(workspace)
            if not return_existing:
                raise ExperimentExists(workspace, display_name)
            # Somebody else created it just now: take theirs, unless it was archived in between.

    async def _check_workspace(self, workspace: str) -> None:
        if await self._workspaces.get(workspace) is None:
            raise WorkspaceNotFound(workspace)

    async def get(self, workspace: str, experiment: str) -> Experiment:
        """Returns an experiment, active or archived; raises ExperimentNotFound if there is none."""
        return self._found(await self._store.get(workspace, experiment), workspace, experiment)

    def _found(self, found: Experiment | None, workspace: str, experiment: str) -> Experiment:
        if found is None:
            raise ExperimentNotFound(workspace, experiment)
        return found

    async def list(
        self, workspace: str, *, archived: bool | None, filter_text: str, page_size: int, page_token: str
    ) -> tuple[Sequence[Experiment], str]:
        """Returns a page of experiments, newest first, and the token of the next page.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            InvalidFilter: The filter is wrong.
            InvalidPageToken: The token is not of this listing.
        """
        binding = ("experiments", workspace, archived, filter_text)
        after, now = self._opened(binding, page_token) if page_token else (None, self._now())
        found = await self._store.list(
            workspace,
            archived=archived,
            node=parse_filter(filter_text),
            now=now,
            after=after,
            limit=page_size + 1,
        )
        if not found:
            await self._check_workspace(workspace)
        page = fitting(found[:page_size], described_bytes)
        if len(page) == len(found):
            return page, ""
        place = [page[-1].create_time.isoformat(), page[-1].experiment, now.isoformat()]
        return page, self._signer.seal(binding, place)

    def _opened(self, binding: Sequence[object], token: str) -> tuple[tuple[datetime, str], datetime]:
        content = self._signer.open(binding, token)
        if content is None:
            raise InvalidPageToken
        time, experiment, now = map(str, content)
        return (datetime.fromisoformat(time), experiment), datetime.fromisoformat(now)

    async def update(self, workspace: str, experiment: str, edits: Edits) -> Experiment:
        """Changes an experiment.

        Raises:
            ExperimentNotFound: There is none.
            ExperimentExists: Another active experiment has the new display name.
        """
        try:
            updated = await self._store.update(workspace, experiment, edits, self._now())
        except NameTaken:
            raise ExperimentExists(workspace, edits.display_name or "") from None
        return self._found(updated, workspace, experiment)

    async def archive(self, workspace: str, experiment: str) -> Experiment:
        """Hides an experiment and frees its display name; raises ExperimentNotFound if there is none."""
        now = self._now()
        await self._store.set_archived(workspace, experiment, now, now)
        return await self.get(workspace, experiment)

    async def reactivate(self, workspace: str, experiment: str) -> Experiment:
        """Makes an experiment active again.

        Raises:
            ExperimentNotFound: There is none.
            ExperimentExists: Another active experiment has its display name.
        """
        try:
            await self._store.set_archived(workspace, experiment, None, self._now())
        except NameTaken:
            taken = await self.get(workspace, experiment)
            raise ExperimentExists(workspace, taken.display_name) from None
        return await self.get(workspace, experiment)

    async def modify_tags(self, workspace: str, experiment: str, tags: Tags, removed: Sequence[str]) -> Tags:
        """Sets and removes tags; returns all tags as they now are.

        Raises:
            ExperimentNotFound: There is none.
            TooManyTags: More would result than an experiment may have.
        """
        labelled = await self._store.modify_tags(workspace, experiment, tags, removed, self._now())
        if labelled is None:
            raise ExperimentNotFound(workspace, experiment)
        if not labelled.fits:
            raise TooManyTags(TAGS, LABELS_BYTES)
        return labelled.new

    async def delete(self, workspace: str, experiment: str) -> None:
        """Deletes an experiment.

        Raises:
            ExperimentNotFound: There is none.
            ExperimentNotEmpty: It holds runs, or deleted ones that are not purged.
        """
        deleted = await self._store.delete(workspace, experiment)
        if deleted is None:
            raise ExperimentNotFound(workspace, experiment)
        if not deleted:
            raise ExperimentNotEmpty(workspace, experiment)
