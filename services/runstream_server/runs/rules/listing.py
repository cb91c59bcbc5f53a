"""The rules of listing runs."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from runstream_server.errors import InvalidPageToken, StatementTimedOut
from runstream_server.runs.errors import ListingTooSlow, WorkspaceNotFound
from runstream_server.runs.filter import experiment_names, parse_filter, parse_order
from runstream_server.runs.limits import PAGE_BYTES, text_bytes
from runstream_server.runs.model import MetricSummary, Run
from runstream_server.runs.store.experiments import ExperimentStore
from runstream_server.runs.store.listings import ListingStore, Page
from runstream_server.runs.store.summaries import SummaryStore
from runstream_server.runs.store.walks import NEWEST_FIRST, Listing, Place
from runstream_server.runs.store.workspaces import WorkspaceStore
from runstream_server.tokens import Signer

Summaries = Mapping[str, Sequence[MetricSummary]]
"""Metric summaries by run."""

_TIME = "time"
_SUMMARY_BYTES = 60
_SUMMARIES_AT_ONCE = 50


class Listings:
    """The rules of listing runs."""

    def __init__(
        self,
        store: ListingStore,
        summaries: SummaryStore,
        experiments: ExperimentStore,
        workspaces: WorkspaceStore,
        signer: Signer,
        now: Callable[[], datetime],
        *,
        readers: int,
    ) -> None:
        """`readers`: how many pages may be read at once."""
        self._store = store
        self._summaries = summaries
        self._experiments = experiments
        self._workspaces = workspaces
        self._signer = signer
        self._now = now
        self._readers = asyncio.Semaphore(readers)

    async def page(
        self,
        workspace: str,
        *,
        filter_text: str,
        order_text: str,
        page_size: int,
        page_token: str,
        show_deleted: bool,
        full: bool,
    ) -> tuple[Sequence[Run], Summaries, str]:
        """Returns a page of runs in order, with `full` their metric summaries, and the token of the next page.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            InvalidFilter, InvalidOrder: They are wrong.
            InvalidPageToken: The token is not of this listing.
        """
        binding = ("runs", workspace, filter_text, order_text, show_deleted, full)
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
        page = await self._read(listing, after, page_size)
        if not page.runs and await self._workspaces.get(workspace) is None:
            raise WorkspaceNotFound(workspace)
        summaries: Summaries = {}
        if full:
            page, summaries = await self._with_summaries(workspace, page)
        token = self._sealed(binding, page.runs[-1][1], now) if page.has_more else ""
        return [run for run, _ in page.runs], summaries, token

    async def _read(self, listing: Listing, after: Place | None, page_size: int) -> Page:
        """Reads a page. Only so many at once: others need connections too, and a slow filter holds one for long."""
        async with self._readers:
            try:
                return await self._store.page(listing, after, page_size)
            except StatementTimedOut:
                raise ListingTooSlow from None

    async def _with_summaries(self, workspace: str, page: Page) -> tuple[Page, Summaries]:
        """A page with the summaries of its runs; shorter if they take more than a page may."""
        summaries: dict[str, Sequence[MetricSummary]] = {}
        room = PAGE_BYTES
        for start in range(0, len(page.runs), _SUMMARIES_AT_ONCE):
            some = [run.run for run, _ in page.runs[start : start + _SUMMARIES_AT_ONCE]]
            found = await self._summaries.of_runs(workspace, some)
            for run in some:
                if room <= 0:
                    return Page(page.runs[: len(summaries)], has_more=True), summaries
                summaries[run] = found[run]
                room -= sum(_SUMMARY_BYTES + text_bytes(summary.metric) for summary in found[run])
        return page, summaries

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
