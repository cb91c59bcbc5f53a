"""Searches runs."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from runstream.api.runs.v1 import run_pb2
from runstream_server.auth import Role
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint
from runstream_server.gateway.mlflow.experiments.known import KnownExperiments
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.metrics.latest import read_latest
from runstream_server.gateway.mlflow.runs.documents import Document, id_of, run_document
from runstream_server.gateway.mlflow.runs.finding import get_run
from runstream_server.gateway.mlflow.runs.inputs import inputs_document, outputs_document
from runstream_server.gateway.mlflow.runs.listings import Candidates
from runstream_server.gateway.mlflow.runs.selection import Selection
from runstream_server.gateway.mlflow.runs.subjects import RUN_SCHEMA, SearchedRun, run_ordering
from runstream_server.gateway.mlflow.search import Clause, First, Place, Query, parse_filter, parse_order
from runstream_server.gateway.mlflow.views import View, asked_view
from runstream_server.gateway.store.inputs import InputsAndOutputs, InputStore
from runstream_server.gateway.visitors import Visitor

MAX_RESULTS = 50_000
_DEFAULT_RESULTS = 1_000

_MOST_BYTES = 32 << 20

_AT_ONCE = 200
_MORE = 10
"""So many more than a page has are asked for at first: to see its end, and that none of the same time follow."""

_METRIC_BYTES = 100

_PATIENCE = 5_000
"""For a page by start the run history goes through all runs of an experiment, by creation through those of the page."""


@dataclass(frozen=True)
class _Asked:
    """A search."""

    experiment_ids: Sequence[str]
    clauses: Sequence[Clause]
    view: View
    query: Query
    after: Place | None
    most: int


class RunSearch:
    """`runs/search`."""

    def __init__(
        self,
        known: KnownExperiments,
        inputs: InputStore,
        *,
        patience: int = _PATIENCE,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        """`patience`: how many runs are read by start, at least, before all are read in the order of their creation.

        `most_bytes`: how many bytes the runs of a page may take, about; one that would have more ends earlier.
        """
        self._known = known
        self._inputs = inputs
        self._patience = patience
        self._most_bytes = most_bytes

    def endpoints(self) -> Sequence[Endpoint]:
        """The one; what it finds is what the run history shows to the visitor."""
        return [Endpoint("POST", "runs/search", self._search, Role.READER)]

    async def _search(self, visitor: Visitor, fields: Fields) -> Answer:
        asked = _asked(visitor, fields)
        experiments = await self._known.find_names(visitor, asked.experiment_ids)
        if not experiments:
            return {}
        first: First[bytes] = First(asked.query.ordering, asked.most, asked.after, self._most_bytes)
        selection = Selection(
            visitor, self._inputs, experiments, asked.view, asked.clauses, asked.query.ordering, first
        )
        await _gather(selection, asked, self._patience)
        found = first.in_order()
        documents = await self._documents(selection, [run for _, run in found])
        answer: Answer = {"runs": documents} if documents else {}
        if not first.has_more and len(documents) == len(found):
            return answer
        return {**answer, "next_page_token": asked.query.token(found[len(documents) - 1][0])}

    async def _documents(self, selection: Selection, runs: Sequence[bytes]) -> Sequence[Document]:
        """Those of the first runs: as many as an answer has room for, one at least."""
        documents: list[Document] = []
        room = self._most_bytes
        for start in range(0, len(runs), _AT_ONCE):
            for document, size in await self._described(selection, runs[start : start + _AT_ONCE]):
                if room <= 0:
                    return documents
                documents.append(document)
                room -= size
        return documents

    async def _described(self, selection: Selection, runs: Sequence[bytes]) -> Sequence[tuple[Document, int]]:
        """The documents of runs, and about how many bytes each takes."""
        found = [run_pb2.Run.FromString(run) for run in runs]
        latest = await read_latest(selection.visitor, [run.name for run in found])
        workspace = selection.visitor.workspace.workspace
        used = await self._inputs.of_runs(workspace, [id_of(run.name) for run in found])
        described = []
        for run, stored in zip(found, runs, strict=True):
            values, inputs = latest.get(run.name, ()), used.get(id_of(run.name), InputsAndOutputs())
            document = run_document(
                run,
                selection.experiments[run.experiment],
                values,
                inputs=dict(inputs_document(inputs)),
                outputs=dict(outputs_document(inputs)),
            )
            described.append((document, len(stored) + _METRIC_BYTES * len(values) + _size(inputs)))
        return described


def _size(inputs: InputsAndOutputs) -> int:
    datasets = [each.dataset for each in inputs.datasets]
    return sum(len(each.source) + len(each.schema or "") + len(each.profile or "") for each in datasets)


def _asked(visitor: Visitor, fields: Fields) -> _Asked:
    filter_text, orders = fields.text_or("filter", ""), fields.texts("order_by")
    experiment_ids, view = fields.texts("experiment_ids"), asked_view(fields, "run_view_type")
    binding = ["runs", visitor.workspace.workspace, sorted(experiment_ids), filter_text, list(orders), view.name]
    query = Query(binding, run_ordering(parse_order(orders, RUN_SCHEMA)))
    return _Asked(
        experiment_ids=experiment_ids,
        clauses=parse_filter(filter_text, RUN_SCHEMA),
        view=view,
        query=query,
        after=query.place(fields.text_or("page_token", "")),
        most=fields.count("max_results", _DEFAULT_RESULTS, MAX_RESULTS),
    )


async def _gather(selection: Selection, asked: _Asked, patience: int) -> None:
    """Offers all runs that may be on the page to the selection; by start no more than it takes, if that is not many."""
    ordering = asked.query.ordering
    own = selection.visitor.own_run
    if own is not None:
        await selection.offer([await get_run(selection.visitor, own.run)])
    candidates = Candidates(
        experiments=selection.experiments,
        clauses=asked.clauses,
        orders=ordering.orders,
        after=asked.after,
        with_deleted=asked.view is not View.ACTIVE_ONLY,
        below=own.run if own is not None else None,
    )
    found: set[str] = set()
    if candidates.is_by_start and await _offer_first(selection, candidates, asked.most, patience, found):
        return
    async with aclosing(candidates.all().pages(selection.visitor)) as pages:
        async for runs in pages:
            await selection.offer([run for run in runs if run.name not in found])


async def _offer_first(selection: Selection, candidates: Candidates, most: int, patience: int, found: set[str]) -> bool:
    """Offers runs by start until none is wanted any more; returns False if that takes too many of them.

    Adds the names of those that the search finds to `found`.
    """
    left = max(patience, 2 * most)
    for listing in candidates.by_start():
        async with aclosing(listing.pages(selection.visitor, most + _MORE)) as pages:
            async for runs in pages:
                found.update(await selection.offer([run for run in runs if run.name not in found]))
                if runs and selection.first.is_past(_beginning(runs[-1], selection)):
                    break
                left -= len(runs)
                if left <= 0:
                    return False
    return True


def _beginning(run: run_pb2.Run, selection: Selection) -> Place:
    """The first value of the place of a run."""
    return selection.ordering.place(SearchedRun(run, ""))[:1]
