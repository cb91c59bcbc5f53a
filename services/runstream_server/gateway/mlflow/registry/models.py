"""Endpoints of registered models and their aliases."""

from collections.abc import Callable, Sequence

from runstream_server.auth import Role
from runstream_server.auth.errors import RoleTooSmall
from runstream_server.gateway.mlflow.endpoint import Answer, Answering, Endpoint
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.registry.documents import model_document, version_document
from runstream_server.gateway.mlflow.registry.fields import (
    MOST_TAG_KEY,
    asked_alias,
    asked_description,
    asked_name,
    asked_tag,
    asked_tags,
    asked_version,
    name_in_use,
    new_alias,
    new_name,
    read_stage,
    told,
)
from runstream_server.gateway.mlflow.registry.searching import RegistrySearch
from runstream_server.gateway.mlflow.registry.sources import ModelSources
from runstream_server.gateway.store.registered_models import RegisteredModelStore
from runstream_server.gateway.visitors import Visitor


class RegisteredModelEndpoints:
    """`registered-models/...`."""

    def __init__(
        self, store: RegisteredModelStore, sources: ModelSources, search: RegistrySearch, now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._sources = sources
        self._search = search
        self._now_ms = now_ms

    def endpoints(self) -> Sequence[Endpoint]:
        """All of them. A token of a run is told which names there are, and the versions that its run reaches."""
        return [
            _writing("POST", "create", self._create, of_run=True),
            _writing("POST", "rename", self._rename),
            _writing("PATCH", "update", self._update),
            _writing("DELETE", "delete", self._delete),
            _writing("POST", "set-tag", self._set_tag),
            _writing("DELETE", "delete-tag", self._delete_tag),
            _writing("POST", "alias", self._set_alias),
            _writing("DELETE", "alias", self._delete_alias),
            _reading("GET", "alias", self._find_alias, of_run=True),
            _reading("GET", "get", self._get),
            _reading("GET", "search", self._find),
            _reading("GET", "get-latest-versions", self._latest),
            _reading("POST", "get-latest-versions", self._latest),
        ]

    async def _create(self, visitor: Visitor, fields: Fields) -> Answer:
        name = new_name(fields)
        description, tags = asked_description(fields), asked_tags(fields)
        if visitor.own_run is not None:
            await self._refuse(visitor, name)
        with told(name):
            await self._store.add(visitor.workspace.workspace, name, description, tags, self._now_ms())
        return await self._shown(visitor, name)

    async def _refuse(self, visitor: Visitor, name: str) -> None:
        """Clients make a name before each version, and go on if it is there: so that is told to everybody."""
        if await self._store.exists(visitor.workspace.workspace, name):
            raise name_in_use(name)
        raise RoleTooSmall(Role.WRITER, Role.RUN)

    async def _get(self, visitor: Visitor, fields: Fields) -> Answer:
        return await self._shown(visitor, asked_name(fields))

    async def _rename(self, visitor: Visitor, fields: Fields) -> Answer:
        name, other = asked_name(fields), new_name(fields, "new_name")
        with told(name, new_name=other):
            await self._store.rename(visitor.workspace.workspace, name, other, self._now_ms())
        return await self._shown(visitor, other)

    async def _update(self, visitor: Visitor, fields: Fields) -> Answer:
        name, description = asked_name(fields), asked_description(fields)
        with told(name):
            await self._store.update(visitor.workspace.workspace, name, description, self._now_ms())
        return await self._shown(visitor, name)

    async def _delete(self, visitor: Visitor, fields: Fields) -> Answer:
        name = asked_name(fields)
        with told(name):
            await self._store.delete(visitor.workspace.workspace, name)
        return {}

    async def _find(self, visitor: Visitor, fields: Fields) -> Answer:
        found, token = await self._search.find_models(visitor, fields)
        page = {"registered_models": [model_document(each) for each in found]}
        return page | ({"next_page_token": token} if token else {})

    async def _latest(self, visitor: Visitor, fields: Fields) -> Answer:
        name, stages = asked_name(fields), [read_stage(each) for each in fields.texts("stages")]
        with told(name):
            found = await self._store.get(visitor.workspace.workspace, name)
        latest = [each for each in found.latest if not stages or each.stage in stages]
        return {"model_versions": [version_document(each) for each in latest]}

    async def _set_tag(self, visitor: Visitor, fields: Fields) -> Answer:
        name, tag = asked_name(fields), asked_tag(fields)
        with told(name):
            await self._store.set_tags(visitor.workspace.workspace, name, tag)
        return {}

    async def _delete_tag(self, visitor: Visitor, fields: Fields) -> Answer:
        name, key = asked_name(fields), fields.text("key", most=MOST_TAG_KEY)
        with told(name):
            await self._store.delete_tag(visitor.workspace.workspace, name, key)
        return {}

    async def _set_alias(self, visitor: Visitor, fields: Fields) -> Answer:
        name, alias, version = asked_name(fields), new_alias(fields), asked_version(fields)
        with told(name, version):
            await self._store.set_alias(visitor.workspace.workspace, name, alias, version)
        return {}

    async def _delete_alias(self, visitor: Visitor, fields: Fields) -> Answer:
        name, alias = asked_name(fields), asked_alias(fields)
        with told(name):
            await self._store.delete_alias(visitor.workspace.workspace, name, alias)
        return {}

    async def _find_alias(self, visitor: Visitor, fields: Fields) -> Answer:
        name, alias = asked_name(fields), asked_alias(fields)
        if visitor.own_run is None:
            with told(name):
                await self._store.get(visitor.workspace.workspace, name)
        found = await self._sources.version_of_alias(visitor, name, alias)
        return {"model_version": version_document(found)}

    async def _shown(self, visitor: Visitor, name: str) -> Answer:
        with told(name):
            found = await self._store.get(visitor.workspace.workspace, name)
        return {"registered_model": model_document(found)}


def _reading(method: str, path: str, answer: Answering, *, of_run: bool = False) -> Endpoint:
    return Endpoint(method, f"registered-models/{path}", answer, Role.READER, of_run=of_run)


def _writing(method: str, path: str, answer: Answering, *, of_run: bool = False) -> Endpoint:
    return Endpoint(method, f"registered-models/{path}", answer, Role.WRITER, of_run=of_run)
