"""Searches for logged models."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.gateway.mlflow.endpoint import Answer
from runstream_server.gateway.mlflow.errors import missing_parameter, wrong
from runstream_server.gateway.mlflow.experiments.known import quoted
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.models.documents import model_document
from runstream_server.gateway.mlflow.models.subjects import (
    MODEL_SCHEMA,
    Dataset,
    ModelSubject,
    keys_of,
    read_datasets,
    read_orders,
    without_prefix,
)
from runstream_server.gateway.mlflow.search import Clause, First, Order, Place, Query, admits, parse_filter
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.store.logged_model_labels import Keys
from runstream_server.gateway.store.logged_models import LoggedModel, LoggedModelStore, ModelsWanted
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName

_DEFAULT = 100
_MOST_ASKED = 50_000
_PAGE = 1_000
_PAGE_BYTES = 8 << 20
_READ_AT_ONCE = 500
_WITH_ALL_METRICS_AT_ONCE = 50
_WHOLE_AT_ONCE = 20
_MOST_RUNS = 10_000
_MOST_DATASETS = 100
_MOST_EXPERIMENTS = 1_000


@dataclass(frozen=True)
class _Search:
    clauses: Sequence[Clause]
    datasets: Sequence[Dataset]
    query: Query

    @property
    def keys(self) -> Keys:
        """What it has to know of models, besides their attributes."""
        named: Sequence[Clause | Order] = [*self.clauses, *self.query.ordering.orders]
        return keys_of([(each.entity, each.key) for each in named], self.datasets)

    def admits(self, subject: ModelSubject) -> bool:
        """Whether a model is found; datasets want a metric of theirs, also where no clause does."""
        return admits(self.clauses, subject) and (not self.datasets or subject.has_datasets())

    def equal(self, key: str) -> str | None:
        """What an attribute has to be equal to; None: it does not matter, or more than equality does."""
        found = [each.value for each in self.clauses if (each.entity, each.key, each.comparator) == _equality(key)]
        return str(found[0]) if found else None


def _equality(key: str) -> tuple[str, str, str]:
    return "attributes", key, "="


class LoggedModelSearch:
    """Looks through the models of experiments; models of runs that the visitor does not reach are not there."""

    def __init__(self, store: LoggedModelStore) -> None:
        self._store = store

    async def answer(self, visitor: Visitor, fields: Fields) -> Answer:
        """Answers `logged-models/search`."""
        numbers = _numbers(fields)
        search = _read(visitor, fields)
        size = min(fields.count("max_results", _DEFAULT, _MOST_ASKED), _PAGE)
        first: First[LoggedModel] = First(
            search.query.ordering, size, search.query.place(fields.text_or("page_token", ""))
        )
        wanted = ModelsWanted(
            visitor.workspace.workspace,
            numbers,
            name=search.equal("name"),
            run=search.equal("source_run_id"),
            runs=await _reached(visitor),
        )
        await self._look_through(wanted, search, first)
        found = first.in_order()
        models, last = await self._whole(visitor, found)
        is_cut = bool(found) and last != found[-1][0]
        token = {"next_page_token": search.query.token(last)} if last and (is_cut or first.has_more) else {}
        return {"models": [model_document(model) for model in models], **token}

    async def _look_through(self, wanted: ModelsWanted, search: _Search, first: First[LoggedModel]) -> None:
        async with aclosing(self._read(wanted, search.keys)) as models:
            async for model in models:
                subject = ModelSubject(model, search.datasets)
                if search.admits(subject) and first.wants(place := search.query.ordering.place(subject)):
                    first.add(place, model)

    async def _read(self, wanted: ModelsWanted, keys: Keys) -> AsyncGenerator[LoggedModel]:
        after, count = "", _READ_AT_ONCE if keys.metrics is not None else _WITH_ALL_METRICS_AT_ONCE
        while models := await self._store.page(wanted, after, count):
            for model in await self._store.complete(models, keys):
                yield model
            after = models[-1].model_id

    async def _whole(
        self, visitor: Visitor, found: Sequence[tuple[Place, LoggedModel]]
    ) -> tuple[Sequence[LoggedModel], Place | None]:
        """Models whose runs are there, with everything, up to where they are large enough for a page; that place."""
        page: list[LoggedModel] = []
        room, last = _PAGE_BYTES, None
        for start in range(0, len(found), _WHOLE_AT_ONCE):
            if room < 0:
                break
            part = found[start : start + _WHOLE_AT_ONCE]
            runs = await _present(visitor, sorted({model.run for _, model in part}))
            whole = await self._store.complete([model for _, model in part if model.run in runs])
            page += whole
            room, last = room - sum(map(_size, whole)), part[-1][0]
        return page, last


def _read(visitor: Visitor, fields: Fields) -> _Search:
    text, datasets = fields.text_or("filter", ""), read_datasets(fields)
    if len(datasets) > _MOST_DATASETS:
        raise fields.error("datasets", f"expected up to {_MOST_DATASETS}")
    clauses = [without_prefix(each) for each in parse_filter(text, MODEL_SCHEMA)]
    ordering = read_orders(fields)
    binding = [
        "logged-models/search",
        visitor.workspace.workspace,
        sorted(_numbers(fields)),
        text,
        [[each.name, each.digest] for each in datasets],
        [[each.entity, each.key, each.descending] for each in ordering.orders],
    ]
    return _Search(clauses, datasets, Query(binding, ordering))


def _numbers(fields: Fields) -> Sequence[int]:
    """The experiments to look into. Those that do not exist have no models."""
    asked = fields.texts("experiment_ids")
    if not asked:
        raise missing_parameter("experiment_ids")
    if len(asked) > _MOST_EXPERIMENTS:
        raise wrong(f"Expected up to {_MOST_EXPERIMENTS} experiment_ids; got {len(asked)}.")
    return [int(each) for each in asked if each.isdecimal() and each.isascii() and len(each) <= 18]


def _size(model: LoggedModel) -> int:
    texts: Sequence[Mapping[str, str]] = (model.tags, model.params)
    counted = sum(len(key) + len(value) + 50 for each in texts for key, value in each.items())
    return 1_000 + len(model.name) + counted + 300 * len(model.metrics)


async def _reached(visitor: Visitor) -> Sequence[str] | None:
    """The runs that a token of a run reaches; None: all of the workspace."""
    own = visitor.own_run
    if own is None:
        return None
    found, token = [own.run], ""
    while True:
        request = messages.ListRunsRequest(
            parent=str(visitor.workspace),
            filter=f"ancestor = {quoted(own.run)} AND (hidden = true OR hidden = false)",
            page_size=1_000,
            page_token=token,
            show_deleted=True,
        )
        page = await visitor.call(visitor.services.runs.ListRuns, request, messages.ListRunsResponse)
        found += [RunName.parse(run.name).run for run in page.runs]
        token = page.next_page_token
        if len(found) > _MOST_RUNS:
            raise wrong(f"there are more than {_MOST_RUNS} runs below this one; search with the token of a user")
        if not token:
            return found


async def _present(visitor: Visitor, runs: Sequence[str]) -> frozenset[str]:
    """Those of some runs that exist and are in reach."""
    left = {str(RunName(visitor.workspace.workspace, run)): run for run in runs}
    while left:
        request = messages.BatchGetRunsRequest(parent=str(visitor.workspace), names=list(left))
        try:
            await visitor.call(visitor.services.runs.BatchGetRuns, request, messages.BatchGetRunsResponse)
        except Refusal as refusal:
            if refusal.reason != "RUN_NOT_FOUND" or left.pop(refusal.metadata.get("run", ""), None) is None:
                raise
        else:
            break
    return frozenset(left.values())
