"""Searches experiments."""

from collections.abc import AsyncIterator, Mapping, Sequence

from runstream.api.runs.v1 import experiment_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.auth import Role
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint
from runstream_server.gateway.mlflow.experiments.documents import experiment_document
from runstream_server.gateway.mlflow.experiments.known import KnownExperiment, KnownExperiments
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.runs.documents import Document
from runstream_server.gateway.mlflow.runs.finding import get_run
from runstream_server.gateway.mlflow.search import (
    LABEL,
    NUMBER,
    TEXT,
    Clause,
    Entity,
    Field,
    First,
    Order,
    Ordering,
    Query,
    Scalar,
    Schema,
    admits,
    parse_filter,
    parse_order,
)
from runstream_server.gateway.mlflow.views import View, asked_view
from runstream_server.gateway.visitors import Visitor

MAX_RESULTS = 50_000
_DEFAULT_RESULTS = 1_000
_LISTED_AT_ONCE = 1_000

_MOST_BYTES = 32 << 20

_SCHEMA = Schema(
    Entity(
        name="attributes",
        aliases=["attribute", "attr"],
        keys={
            "name": TEXT,
            "creation_time": NUMBER,
            "last_update_time": NUMBER,
            "experiment_id": Field(frozenset(), is_number=True),
        },
    ),
    Entity(name="tags", aliases=["tag"], any_key=LABEL),
)

_TIES = (
    Order("attributes", "last_update_time", descending=True, is_number=True),
    Order("attributes", "experiment_id", descending=True, is_number=True),
)

_LISTED: Mapping[View, "experiment_pb2.ExperimentView.ValueType"] = {
    View.ACTIVE_ONLY: experiment_pb2.EXPERIMENT_VIEW_ACTIVE_ONLY,
    View.DELETED_ONLY: experiment_pb2.EXPERIMENT_VIEW_ARCHIVED_ONLY,
    View.ALL: experiment_pb2.EXPERIMENT_VIEW_ALL,
}


class _SearchedExperiment:
    """An experiment as it is searched."""

    def __init__(self, known: KnownExperiment) -> None:
        self.document = experiment_document(known)
        self.size_bytes = known.message.ByteSize()

    def values(self, entity: str, key: str) -> Sequence[Scalar]:
        """What it has under a key."""
        if entity == "tags":
            return [tag["value"] for tag in self.document["tags"] if tag["key"] == key]
        return (int(self.document[key]) if key == "experiment_id" else self.document[key],)


class ExperimentSearch:
    """`experiments/search`."""

    def __init__(self, known: KnownExperiments, *, most_bytes: int = _MOST_BYTES) -> None:
        """`most_bytes`: how many bytes a page may take, about; one that would have more ends earlier."""
        self._known = known
        self._most_bytes = most_bytes

    def endpoints(self) -> Sequence[Endpoint]:
        """It comes as a query too. With the token of a run it finds the experiment of that run at most."""
        return [Endpoint(method, "experiments/search", self._search, Role.READER) for method in ("GET", "POST")]

    async def _search(self, visitor: Visitor, fields: Fields) -> Answer:
        filter_text, orders, view = (
            fields.text_or("filter", ""),
            fields.texts("order_by"),
            asked_view(fields, "view_type"),
        )
        clauses = parse_filter(filter_text, _SCHEMA)
        binding = ["experiments", visitor.workspace.workspace, filter_text, list(orders), view.name]
        query = Query(binding, Ordering(parse_order(orders, _SCHEMA), _TIES))
        most = fields.count("max_results", _DEFAULT_RESULTS, MAX_RESULTS)
        after = query.place(fields.text_or("page_token", ""))
        first: First[Document] = First(query.ordering, most, after, self._most_bytes)
        async for known in self._visible(visitor, view):
            _offer(first, query.ordering, clauses, known)
        found = first.in_order()
        answer: Answer = {"experiments": [document for _, document in found]} if found else {}
        return {**answer, "next_page_token": query.token(found[-1][0])} if first.has_more else answer

    async def _visible(self, visitor: Visitor, view: View) -> AsyncIterator[Sequence[KnownExperiment]]:
        own = visitor.own_run
        if own is None:
            async for known in self._listed(visitor, view):
                yield known
            return
        number = await self._known.number_of_run(visitor, await get_run(visitor, own.run))
        experiment = await self._known.get(visitor, number)
        yield [experiment] if view.shows(is_deleted=experiment.is_deleted) else []

    async def _listed(self, visitor: Visitor, view: View) -> AsyncIterator[Sequence[KnownExperiment]]:
        token = ""
        while True:
            request = messages.ListExperimentsRequest(
                parent=str(visitor.workspace), view=_LISTED[view], page_size=_LISTED_AT_ONCE, page_token=token
            )
            method = visitor.services.runs.ListExperiments
            response = await visitor.call(method, request, messages.ListExperimentsResponse)
            yield await self._known.describe(response.experiments)
            token = response.next_page_token
            if not token:
                return


def _offer(
    first: First[Document], ordering: Ordering, clauses: Sequence[Clause], known: Sequence[KnownExperiment]
) -> None:
    for subject in map(_SearchedExperiment, known):
        if admits(clauses, subject) and first.wants(place := ordering.place(subject)):
            first.add(place, subject.document, subject.size_bytes)
