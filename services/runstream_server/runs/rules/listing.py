"""The rules of listing runs."""

from collections.abc import Callable, Sequence
from datetime import datetime

from runstream_server.errors import InvalidPageToken
from runstream_server.runs.errors import WorkspaceNotFound
from runstream_server.runs.filter import experiment_names, parse_filter, parse_order
from runstream_server.runs.model import Run
from runstream_server.runs.store.experiments import ExperimentStore
from runstream_server.runs.store.listings import ListingStore
from runstream_server.runs.store.walks import NEWEST_FIRST, Listing, Place
from runstream_server.runs.store.workspaces import WorkspaceStore
from runstream_server.runs.tokens import Signer

_TIME = "time"


class Listings:
    """The rules of listing runs."""

    def __init__(
        self,
        store: ListingStore,
        experiments: ExperimentStore,
        workspaces: WorkspaceStore,
        signer: Signer,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._experiments = experiments
        self._workspaces = workspaces
        self._signer = signer
        self._now = now

    async def page(
        self,
        workspace: str,
        *,
        filter_text: str,
        order_text: str,
        page_size: int,
        page_token: str,
        show_deleted: bool,
    ) -> tuple[Sequence[Run], str]:
        """Returns a page of runs in order, and the token of the next page; empty after the last.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            InvalidFilter, InvalidOrder: They are wrong.
            InvalidPageToken: The token is not of this listing.
        """
        binding = ("runs", workspace, filter_text, order_text, show_deleted)
        node = parse_filter(filter_text)
        after, now = self._opened(binding, page_token) if page_token else (None, self._now())
        names = sorted(experiment_names(node, workspace))
        listing = Listing(
            workspace=workspace,
            node=node,
            order=parse_order(order_text) if order_text.strip() else NEWEST_FIRST,
            show_deleted=show_deleted,
            now=now,
            experiments=await self._experiments.identifiers(workspace, names) if names else {},
        )
        page = await self._store.page(listing, after, page_size)
        if not page.runs and await self._workspaces.get(workspace) is None:
            raise WorkspaceNotFound(workspace)
        runs = [run for run, _ in page.runs]
        return runs, self._sealed(binding, page.runs[-1][1], now) if page.has_more and page.runs else ""

    def _sealed(self, binding: Sequence[object], place: Place, now: datetime) -> str:
        value = [_TIME, place.value.isoformat()] if isinstance(place.value, datetime) else place.value
        content = [place.without_metric, value, place.create_time.isoformat(), place.run, now.isoformat()]
        return self._signer.seal(binding, content)

    def _opened(self, binding: Sequence[object], token: str) -> tuple[Place, datetime]:
        content = self._signer.open(binding, token)
        if content is None:
            raise InvalidPageToken
        without_metric, value, create_time, run, now = content
        place = Place(bool(without_metric), _value(value), datetime.fromisoformat(str(create_time)), str(run))
        return place, datetime.fromisoformat(str(now))


def _value(value: object) -> datetime | float | str | None:
    if isinstance(value, list):
        return datetime.fromisoformat(str(value[1]))
    assert value is None or isinstance(value, (int, float, str))
    return value
