"""Finds out what the sources of versions mean, and which versions a caller reaches."""

import re

from runstream_server.gateway.mlflow.errors import MlflowError, wrong
from runstream_server.gateway.mlflow.files.paths import MODEL_ID
from runstream_server.gateway.mlflow.models.documents import model_uri
from runstream_server.gateway.mlflow.models.known import KnownModels
from runstream_server.gateway.mlflow.registry.fields import alias_missing, told, version_missing
from runstream_server.gateway.mlflow.runs.finding import get_run
from runstream_server.gateway.store.model_versions import ModelVersionStore
from runstream_server.gateway.store.registered_models import RegisteredModelStore
from runstream_server.gateway.store.registry import ModelVersion
from runstream_server.gateway.visitors import Visitor

_SCHEME = "models:"
_VERSION = re.compile(r"(?P<name>[^/]+)/(?P<version>[1-9][0-9]{0,8})")
_ALIAS = re.compile(r"(?P<name>[^/]+)@(?P<alias>[\w\-]+)", re.ASCII)


class ModelSources:
    """Finds versions, and what `models:/...` means, for who reaches it."""

    def __init__(self, models: RegisteredModelStore, versions: ModelVersionStore, logged: KnownModels) -> None:
        self._models = models
        self._versions = versions
        self._logged = logged

    async def version(self, visitor: Visitor, name: str, version: int) -> ModelVersion:
        """Returns a version; raises MlflowError unless it is there and in reach."""
        with told(name, version):
            found = await self._versions.get(visitor.workspace.workspace, name, version)
        if visitor.own_run is not None and not await self.reaches(visitor, found.run, found.model):
            raise version_missing(name, version)
        return found

    async def version_of_alias(self, visitor: Visitor, name: str, alias: str) -> ModelVersion:
        """Returns the version that an alias means; raises MlflowError unless it is there and in reach."""
        version = await self._models.find_alias(visitor.workspace.workspace, name, alias)
        if version is None:
            raise alias_missing(alias)
        try:
            return await self.version(visitor, name, version)
        except MlflowError as error:
            raise alias_missing(alias) if error.status == 404 else error from None

    async def reaches(self, visitor: Visitor, run: str, model: str) -> bool:
        """Whether a caller reaches the run and the logged model of a version, those of both that it names."""
        try:
            if run:
                await get_run(visitor, run)
            if model:
                await self._logged.find(visitor, model)
        except MlflowError as error:
            if error.status == 404:
                return False
            raise
        return bool(run or model)

    async def resolve(self, visitor: Visitor, source: str) -> tuple[str, str]:
        """Returns where the files of a source are, and the id of the logged model that it names, else an empty text.

        Raises:
            MlflowError: It is `models:/...`, and what it means is not there or not in reach.
        """
        if not source.startswith(_SCHEME):
            return source, ""
        named = source.removeprefix(_SCHEME).lstrip("/")
        if MODEL_ID.fullmatch(named):
            model, _ = await self._logged.find_active(visitor, named)
            return model_uri(model), named
        version = await self._named_version(visitor, named, source)
        return version.storage, version.model

    async def _named_version(self, visitor: Visitor, named: str, source: str) -> ModelVersion:
        if by_version := _VERSION.fullmatch(named):
            return await self.version(visitor, by_version["name"], int(by_version["version"]))
        if by_alias := _ALIAS.fullmatch(named):
            return await self.version_of_alias(visitor, by_alias["name"], by_alias["alias"])
        raise wrong(
            f"Invalid model version source: '{source[:200]}'. Expected models:/MODEL_ID, models:/NAME/VERSION or"
            " models:/NAME@ALIAS"
        )
