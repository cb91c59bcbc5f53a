"""Lists the files of runs and of logged models, folder by folder."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.gateway.mlflow.endpoint import Answer
from runstream_server.gateway.mlflow.errors import wrong
from runstream_server.gateway.mlflow.files.paths import MODEL_ID
from runstream_server.gateway.mlflow.files.places import Place
from runstream_server.gateway.store.logged_models import LoggedModelStore
from runstream_server.gateway.visitors import Visitor

MAX_LISTED = 100_000
PAGE_FILES = 1_000
_MODELS = "models/"
_MOST_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder."""

    path: str
    """In its run; without a `/` at its end."""

    size_bytes: int | None
    """None: it is a folder."""

    def shown(self, path: str) -> Answer:
        """As clients see it, under a path."""
        size = {} if self.size_bytes is None else {"file_size": self.size_bytes}
        return {"path": path, "is_dir": self.size_bytes is None, **size}


class ArtifactListings:
    """Lists folders. What the folder `models` of a run has of logged models is listed with the models only."""

    def __init__(self, models: LoggedModelStore) -> None:
        self._models = models

    async def page(self, visitor: Visitor, place: Place, token: str) -> tuple[Sequence[Entry], str]:
        """Returns the next entries of a folder, in order of path, and the token of the page after; empty: the last."""
        entries, following = await self._page(visitor, place, token, PAGE_FILES)
        return await self._seen(visitor, place, entries), following

    async def everything(self, visitor: Visitor, place: Place) -> Sequence[Entry]:
        """Returns all entries of a folder, in order of path; raises MlflowError where those are too many."""
        found: list[Entry] = []
        async with aclosing(self._pages(visitor, place)) as pages:
            async for entries in pages:
                found.extend(entries)
                if len(found) > MAX_LISTED:
                    raise wrong(f"the folder has more than {MAX_LISTED} entries; artifacts/list returns them in pages")
        return found

    async def _pages(self, visitor: Visitor, place: Place) -> AsyncGenerator[Sequence[Entry]]:
        token = ""
        while True:
            entries, token = await self._page(visitor, place, token, _MOST_AT_ONCE)
            yield await self._seen(visitor, place, entries)
            if not token:
                return

    async def _page(self, visitor: Visitor, place: Place, token: str, size: int) -> tuple[Sequence[Entry], str]:
        request = messages.ListArtifactsRequest(
            parent=str(place.run), prefix=place.folder, delimiter="/", page_size=size, page_token=token
        )
        page = await visitor.call(visitor.services.artifacts.ListArtifacts, request, messages.ListArtifactsResponse)
        found = [Entry(folder.removesuffix("/"), None) for folder in page.folders]
        found += [Entry(artifact.path, artifact.size_bytes) for artifact in page.artifacts]
        return sorted(found, key=lambda entry: entry.path), page.next_page_token

    async def _seen(self, visitor: Visitor, place: Place, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Leaves out what belongs to logged models."""
        if place.folder == _MODELS:
            return await self._of_no_model(visitor, place, entries)
        models = Entry(_MODELS.removesuffix("/"), None)
        if place.folder or models not in entries or await self._has_any(visitor, place):
            return entries
        return [each for each in entries if each != models]

    async def _of_no_model(self, visitor: Visitor, place: Place, entries: Sequence[Entry]) -> Sequence[Entry]:
        ids = {each.path: each.path.removeprefix(_MODELS) for each in entries if each.size_bytes is None}
        asked = [model_id for model_id in ids.values() if MODEL_ID.fullmatch(model_id)]
        models = await self._models.of_run(visitor.workspace.workspace, place.run.run, asked) if asked else frozenset()
        return [each for each in entries if ids.get(each.path) not in models]

    async def _has_any(self, visitor: Visitor, place: Place) -> bool:
        """Whether the folder `models` of a run has anything that belongs to no logged model."""
        async with aclosing(self._pages(visitor, Place(place.run, "", _MODELS.removesuffix("/")))) as pages:
            async for entries in pages:
                if entries:
                    return True
        return False
