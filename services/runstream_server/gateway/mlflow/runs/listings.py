"""Asks the run history for the runs that a search may find."""

from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from dataclasses import dataclass

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.experiments.known import quoted
from runstream_server.gateway.mlflow.runs.conditions import before, conditions, joined, one_of, since
from runstream_server.gateway.mlflow.runs.subjects import START_TIME
from runstream_server.gateway.mlflow.search import Clause, Order, Place
from runstream_server.gateway.visitors import Visitor

_MOST_AT_ONCE = 1_000
_MOST_NAMED = 40


@dataclass(frozen=True)
class Candidates:
    """Which runs a search may find, and in which order it wants them."""

    experiments: Collection[str]
    """Resource names."""

    clauses: Sequence[Clause]
    orders: Sequence[Order]
    after: Place | None
    with_deleted: bool

    below: str | None = None
    """The id of a run: only those below it."""

    @property
    def is_by_start(self) -> bool:
        """Whether they are wanted in the order of their starts."""
        return (self.orders[0].entity, self.orders[0].key) == ("attributes", START_TIME)

    def all(self) -> "Listing":
        """A listing of all of them."""
        return self._listing([], "")

    def by_start(self) -> Sequence["Listing"]:
        """Listings in the order of their starts that have those together which are behind the place.

        A run that has not started counts as having done so at its creation. Those come first: one that starts meanwhile
        is in both listings, not in none.
        """
        direction = " desc" if self.orders[0].descending else ""
        return [
            self._listing(["NOT start_time:*", *self._behind("create_time")], f"create_time{direction}"),
            self._listing(["start_time:*", *self._behind("start_time")], f"start_time{direction}"),
        ]

    def _listing(self, required: Sequence[str], order_by: str) -> "Listing":
        text = joined([*self._scope(), *required], conditions(self.clauses))
        return Listing(text, order_by, self.with_deleted)

    def _scope(self) -> Iterator[str]:
        if self.below is not None:
            yield f"ancestor = {quoted(self.below)}"
        if len(self.experiments) <= _MOST_NAMED:
            yield one_of("experiment", [quoted(each) for each in self.experiments])

    def _behind(self, field: str) -> Iterator[str]:
        """Leaves out what comes before the place; what has the very same millisecond stays in."""
        start = self.after[0] if self.after else None
        if isinstance(start, int):
            condition = before(field, start + 1) if self.orders[0].descending else since(field, start)
            yield from [condition] if condition else []


@dataclass(frozen=True)
class Listing:
    """What ListRuns is asked."""

    filter: str
    order_by: str
    with_deleted: bool

    async def pages(self, visitor: Visitor, first: int = _MOST_AT_ONCE) -> AsyncGenerator[Sequence[run_pb2.Run], None]:
        """Yields the runs page by page: on the first one so many, then as many as there can be."""
        token, size = "", min(first, _MOST_AT_ONCE)
        while True:
            request = messages.ListRunsRequest(
                parent=str(visitor.workspace),
                filter=self.filter,
                order_by=self.order_by,
                page_size=size,
                page_token=token,
                show_deleted=self.with_deleted,
            )
            response = await visitor.call(visitor.services.runs.ListRuns, request, messages.ListRunsResponse)
            yield response.runs
            token, size = response.next_page_token, _MOST_AT_ONCE
            if not token:
                return
