"""Picks the runs of a page out of those that the run history returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.metrics.latest import read_latest
from runstream_server.gateway.mlflow.runs.documents import id_of, is_deleted
from runstream_server.gateway.mlflow.runs.subjects import SearchedRun
from runstream_server.gateway.mlflow.search import Clause, First, Ordering, admitted
from runstream_server.gateway.mlflow.views import View
from runstream_server.gateway.store.inputs import InputStore
from runstream_server.gateway.visitors import Visitor

_DATASETS, _METRICS = "datasets", "metrics"


@dataclass(frozen=True)
class Selection:
    """Decides exactly which runs a search finds."""

    visitor: Visitor
    inputs: InputStore
    experiments: Mapping[str, str]
    """Numbers by resource names, of those that are searched."""

    view: View
    clauses: Sequence[Clause]
    ordering: Ordering
    first: First[bytes]
    """Where the page is gathered: runs as bytes, since one that is kept would keep all that came with it."""

    async def offer(self, runs: Sequence[run_pb2.Run]) -> Sequence[str]:
        """Picks from some runs; returns the names of those that the search finds, on this page or not."""
        found: Sequence[SearchedRun] = [
            SearchedRun(run, self.experiments[run.experiment]) for run in runs if self._is_searched(run)
        ]
        plain = [clause for clause in self.clauses if clause.entity not in (_DATASETS, _METRICS)]
        found = await self._admitted_by_datasets(await admitted(plain, found))
        found = await self._admitted_by_metrics(found)
        for each in found:
            place = self.ordering.place(each)
            if self.first.wants(place):
                stored = each.run.SerializeToString()
                self.first.add(place, stored, len(stored))
        return [each.run.name for each in found]

    def _is_searched(self, run: run_pb2.Run) -> bool:
        is_asked = run.experiment in self.experiments and not run.hidden
        return is_asked and self.view.shows(is_deleted=is_deleted(run))

    async def _admitted_by_datasets(self, found: Sequence[SearchedRun]) -> Sequence[SearchedRun]:
        clauses = [clause for clause in self.clauses if clause.entity == _DATASETS]
        if not clauses or not found:
            return found
        by_id = {id_of(each.run.name): each for each in found}
        used = await self.inputs.datasets_of_runs(self.visitor.workspace.workspace, by_id)
        for run_id, datasets in used.items():
            by_id[run_id].datasets = datasets
        return await admitted(clauses, found)

    async def _admitted_by_metrics(self, found: Sequence[SearchedRun]) -> Sequence[SearchedRun]:
        clauses = [clause for clause in self.clauses if clause.entity == _METRICS]
        asked = {clause.key for clause in clauses}
        asked |= {order.key for order in self.ordering.orders if order.entity == _METRICS}
        if not asked or not found:
            return found
        latest = await read_latest(self.visitor, [each.run.name for each in found], sorted(asked))
        for each in found:
            each.metrics = {value.metric: value.value for value in latest.get(each.run.name, ())}
        return await admitted(clauses, found)
