"""Endpoints of versions of registered models."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from runstream_server.auth import Role
from runstream_server.gateway.mlflow.endpoint import Answer, Answering, Endpoint
from runstream_server.gateway.mlflow.errors import wrong
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.models.known import model_not_found
from runstream_server.gateway.mlflow.registry.documents import version_document
from runstream_server.gateway.mlflow.registry.fields import (
    MOST_ID,
    MOST_SOURCE,
    MOST_TAG_KEY,
    asked_description,
    asked_name,
    asked_stage,
    asked_tag,
    asked_tags,
    asked_version,
    told,
)
from runstream_server.gateway.mlflow.registry.searching import RegistrySearch
from runstream_server.gateway.mlflow.registry.sources import ModelSources
from runstream_server.gateway.mlflow.runs.finding import run_not_found
from runstream_server.gateway.store.model_versions import ModelVersionStore
from runstream_server.gateway.store.new_versions import NewVersion, NewVersionStore
from runstream_server.gateway.store.registry import ModelVersion
from runstream_server.gateway.visitors import Visitor

_ACTIVE_STAGES = ("Staging", "Production")


class ModelVersionEndpoints:
    """`model-versions/...`."""

    def __init__(
        self,
        store: ModelVersionStore,
        new: NewVersionStore,
        sources: ModelSources,
        search: RegistrySearch,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._new = new
        self._sources = sources
        self._search = search
        self._now_ms = now_ms
        self._maker = secrets.token_hex(8)
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def endpoints(self) -> Sequence[Endpoint]:
        """All of them. A token of a run is let to the versions only that its run reaches, and may make such."""
        return [
            _writing("POST", "create", self._create, of_run=True),
            _writing("PATCH", "update", self._update),
            _writing("DELETE", "delete", self._delete),
            _writing("POST", "transition-stage", self._move),
            _writing("POST", "set-tag", self._set_tag),
            _writing("DELETE", "delete-tag", self._delete_tag),
            _reading("get", self._get, of_run=True),
            _reading("get-download-uri", self._tell_place, of_run=True),
            _reading("search", self._find),
        ]

    async def _create(self, visitor: Visitor, fields: Fields) -> Answer:
        new = await self._read(visitor, fields)
        if visitor.own_run is not None and not await self._sources.reaches(visitor, new.run, new.model):
            raise run_not_found(new.run) if new.run else model_not_found(new.model)
        return _shown(await self._made(visitor.workspace.workspace, new))

    async def _read(self, visitor: Visitor, fields: Fields) -> NewVersion:
        asked = {
            "name": asked_name(fields),
            "description": asked_description(fields),
            "source": fields.text("source", most=MOST_SOURCE),
            "run": fields.text_or("run_id", "", most=MOST_ID),
            "run_link": fields.text_or("run_link", "", most=MOST_SOURCE),
        }
        model, tags = fields.text_or("model_id", "", most=MOST_ID), asked_tags(fields)
        storage, named = await self._sources.resolve(visitor, asked["source"])
        digest = _digest(visitor, asked, model, tags)
        return NewVersion(**asked, storage=storage, model=model or named, tags=tags, request=digest, maker=self._maker)

    async def _made(self, workspace: str, new: NewVersion) -> ModelVersion:
        """Makes a version, one of a name at a time here. Where this breaks off the same request gets the same one."""
        turn = self._turns.setdefault((workspace, new.name), asyncio.Lock())
        async with turn:
            with told(new.name):
                version = await self._new.add(workspace, new, self._now_ms())
            with told(new.name, version):
                found = await self._store.get(workspace, new.name, version)
            await self._new.settle(workspace, new.name, version)
        return found

    async def _get(self, visitor: Visitor, fields: Fields) -> Answer:
        return _shown(await self._sources.version(visitor, asked_name(fields), asked_version(fields)))

    async def _tell_place(self, visitor: Visitor, fields: Fields) -> Answer:
        found = await self._sources.version(visitor, asked_name(fields), asked_version(fields))
        return {"artifact_uri": found.storage}

    async def _update(self, visitor: Visitor, fields: Fields) -> Answer:
        name, version, description = asked_name(fields), asked_version(fields), asked_description(fields)
        with told(name, version):
            await self._store.update(visitor.workspace.workspace, name, version, description, self._now_ms())
        return _shown(await self._sources.version(visitor, name, version))

    async def _delete(self, visitor: Visitor, fields: Fields) -> Answer:
        name, version = asked_name(fields), asked_version(fields)
        with told(name, version):
            await self._store.delete(visitor.workspace.workspace, name, version, self._now_ms())
        return {}

    async def _move(self, visitor: Visitor, fields: Fields) -> Answer:
        name, version, stage = asked_name(fields), asked_version(fields), asked_stage(fields)
        archive = fields.truth("archive_existing_versions", default=False)
        if archive and stage not in _ACTIVE_STAGES:
            raise wrong(
                f"Model version transition cannot archive existing model versions because '{stage}' is not an Active"
                f" stage. Valid stages are {', '.join(_ACTIVE_STAGES)}"
            )
        with told(name, version):
            workspace = visitor.workspace.workspace
            await self._store.move(workspace, name, version, stage, self._now_ms(), archive_others=archive)
        return _shown(await self._sources.version(visitor, name, version))

    async def _find(self, visitor: Visitor, fields: Fields) -> Answer:
        found, token = await self._search.find_versions(visitor, fields)
        page = {"model_versions": [version_document(each) for each in found]}
        return page | ({"next_page_token": token} if token else {})

    async def _set_tag(self, visitor: Visitor, fields: Fields) -> Answer:
        name, version, tag = asked_name(fields), asked_version(fields), asked_tag(fields)
        with told(name, version):
            await self._store.set_tags(visitor.workspace.workspace, name, version, tag)
        return {}

    async def _delete_tag(self, visitor: Visitor, fields: Fields) -> Answer:
        name, version, key = asked_name(fields), asked_version(fields), fields.text("key", most=MOST_TAG_KEY)
        with told(name, version):
            await self._store.delete_tag(visitor.workspace.workspace, name, version, key)
        return {}


def _digest(visitor: Visitor, *request: object) -> bytes:
    caller = visitor.caller.digest.hex() if visitor.caller else ""
    return hashlib.sha256(json.dumps([caller, *request], sort_keys=True).encode()).digest()


def _shown(version: ModelVersion) -> Answer:
    return {"model_version": version_document(version)}


def _reading(path: str, answer: Answering, *, of_run: bool = False) -> Endpoint:
    return Endpoint("GET", f"model-versions/{path}", answer, Role.READER, of_run=of_run)


def _writing(method: str, path: str, answer: Answering, *, of_run: bool = False) -> Endpoint:
    return Endpoint(method, f"model-versions/{path}", answer, Role.WRITER, of_run=of_run)
