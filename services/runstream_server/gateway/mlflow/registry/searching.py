"""Searches registered models and versions."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.search import (
    LISTED_TEXT,
    NUMBER,
    TEXT,
    Clause,
    Entity,
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
from runstream_server.gateway.mlflow.search.ordering import COMPARED
from runstream_server.gateway.store.model_versions import ModelVersionStore, ScannedVersion
from runstream_server.gateway.store.registered_models import RegisteredModelStore, ScannedModel
from runstream_server.gateway.store.registry import ModelVersion, RegisteredModel
from runstream_server.gateway.visitors import Visitor

MOST_MODELS = 1_000
MOST_VERSIONS = 200_000
DEFAULT_MODELS = 100
DEFAULT_VERSIONS = 10_000

MOST_BYTES = 8 << 20
"""How long what is found may be about, but for the first one: a page has less than was asked for, rather."""

_PROMPT = {"mlflow.prompt.is_prompt": "false"}
"""What a registered model is that does not say so: clients leave out prompts by a filter that needs the tag."""

_ATTRIBUTES = "attributes"
_TAGS = Entity(name="tags", aliases=["tag"], any_key=TEXT)
_TIMES = {"creation_timestamp": NUMBER, "last_updated_timestamp": NUMBER}
_CALLED = {"timestamp": "last_updated_timestamp", "version": "version_number", "source": "source_path"}

_MODELS = Schema(
    Entity(name=_ATTRIBUTES, aliases=["attribute", "attr"], keys={"name": TEXT} | _TIMES, key_aliases=_CALLED), _TAGS
)
_VERSIONS = Schema(
    Entity(
        name=_ATTRIBUTES,
        aliases=["attribute", "attr"],
        keys={
            "name": TEXT,
            "version_number": NUMBER,
            "run_id": LISTED_TEXT,
            "source_path": TEXT,
            "current_stage": TEXT,
            "model_id": TEXT,
        }
        | _TIMES,
        key_aliases=_CALLED,
    ),
    _TAGS,
)

# Texts are compared by how they begin: what is left of a name decides between those that begin alike.
_NAME = [Order(_ATTRIBUTES, "name"), Order(_ATTRIBUTES, "end of name")]
_LATEST_FIRST = Order(_ATTRIBUTES, "last_updated_timestamp", descending=True, is_number=True)
_NEWEST_FIRST = Order(_ATTRIBUTES, "version_number", descending=True, is_number=True)


@dataclass(frozen=True)
class _Subject:
    """Something that is searched for, by the names of its attributes."""

    attributes: Mapping[str, Scalar]
    tags: Mapping[str, str]
    size_bytes: int

    def values(self, entity: str, key: str) -> Sequence[Scalar]:
        value = (self.attributes if entity == _ATTRIBUTES else self.tags).get(key)
        return () if value is None else (value,)


@dataclass(frozen=True)
class _Asked:
    """What a request searches for."""

    clauses: Sequence[Clause]
    query: Query

    def equal_to(self, key: str) -> str | None:
        """What an attribute has to be; None: the filter does not say so."""
        for clause in self.clauses:
            if (clause.entity, clause.key, clause.comparator) == (_ATTRIBUTES, key, "="):
                return str(clause.value)
        return None

    @property
    def tags(self) -> Sequence[str]:
        """The keys of all tags that are compared or ordered by."""
        named: Iterable[Clause | Order] = [*self.clauses, *self.query.ordering.orders]
        return sorted({each.key for each in named if each.entity == "tags"})


class RegistrySearch:
    """Finds pages of registered models and of versions."""

    def __init__(self, models: RegisteredModelStore, versions: ModelVersionStore) -> None:
        self._models = models
        self._versions = versions

    async def find_models(self, visitor: Visitor, fields: Fields) -> tuple[Sequence[RegisteredModel], str]:
        """Returns a page of registered models, by name unless asked otherwise, and the token of the next one."""
        workspace = visitor.workspace.workspace
        asked = _asked(workspace, "registered-models", fields, _MODELS, _NAME)
        most = fields.count("max_results", DEFAULT_MODELS, MOST_MODELS)
        scanned = self._models.scan(workspace, asked.equal_to("name"), asked.tags)
        found, token = await _page(_models(scanned), asked, most, fields)
        return await self._models.find_all(workspace, [str(each.attributes["name"]) for each in found]), token

    async def find_versions(self, visitor: Visitor, fields: Fields) -> tuple[Sequence[ModelVersion], str]:
        """Returns a page of versions, those that changed last first unless asked otherwise, and the next token."""
        workspace = visitor.workspace.workspace
        asked = _asked(workspace, "model-versions", fields, _VERSIONS, [_LATEST_FIRST, *_NAME, _NEWEST_FIRST])
        most = fields.count("max_results", DEFAULT_VERSIONS, MOST_VERSIONS)
        scanned = self._versions.scan(workspace, asked.equal_to("name"), asked.equal_to("run_id"), asked.tags)
        found, token = await _page(_versions(scanned), asked, most, fields)
        places = [(str(each.attributes["name"]), int(each.attributes["version_number"])) for each in found]
        return await self._versions.find_all(workspace, places), token


def _asked(workspace: str, what: str, fields: Fields, schema: Schema, ties: Sequence[Order]) -> _Asked:
    text, orders = fields.text_or("filter", ""), fields.texts("order_by")
    ordering = Ordering(parse_order(orders, schema), ties)
    return _Asked(parse_filter(text, schema), Query([workspace, what, text, *orders], ordering))


_Found = TypeVar("_Found", bound=_Subject)


async def _page(
    scanned: AsyncIterator[_Found], asked: _Asked, most: int, fields: Fields
) -> tuple[Sequence[_Found], str]:
    after = asked.query.place(fields.text_or("page_token", ""))
    first: First[_Found] = First(asked.query.ordering, most, after, MOST_BYTES)
    async for each in scanned:
        if admits(asked.clauses, each) and first.wants(place := asked.query.ordering.place(each)):
            first.add(place, each, each.size_bytes)
    found = first.in_order()
    return [each for _, each in found], asked.query.token(found[-1][0]) if first.has_more else ""


async def _models(scanned: AsyncIterator[ScannedModel]) -> AsyncIterator[_Subject]:
    async for each in scanned:
        yield _Subject(_shared(each), _PROMPT | dict(each.tags), each.size_bytes)


async def _versions(scanned: AsyncIterator[ScannedVersion]) -> AsyncIterator[_Subject]:
    async for each in scanned:
        attributes: dict[str, Scalar] = {
            "version_number": each.version,
            "run_id": each.run,
            "source_path": each.source,
            "current_stage": each.stage,
            "model_id": each.model,
        }
        yield _Subject(_shared(each) | attributes, each.tags, each.size_bytes)


def _shared(scanned: ScannedModel | ScannedVersion) -> dict[str, Scalar]:
    return {
        "name": scanned.name,
        "end of name": scanned.name[COMPARED:],
        "creation_timestamp": scanned.create_ms,
        "last_updated_timestamp": scanned.update_ms,
    }
