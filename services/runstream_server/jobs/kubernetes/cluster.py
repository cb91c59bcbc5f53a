"""The seven operations on a cluster. What the client library is and raises, nobody else knows."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any

import httpx2
from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import CascadeType, PatchType

from runstream_server.cluster_config import IN_CLUSTER, ClusterConfig
from runstream_server.errors import ConfigurationError
from runstream_server.jobs.kubernetes.kinds import Kind

Object = Mapping[str, Any]

logger = logging.getLogger(__name__)

_SECONDS = 15.0
_PAGE = 500
_WATCH_SECONDS = 270
_RESOURCES: Mapping[Kind, Any] = {
    kind: create_namespaced_resource(kind.group, "v1", kind.name_, kind.plural) for kind in Kind
}


class ClusterTrouble(Exception):
    """A cluster did not do what it was asked to; the text says why."""


class ClusterAway(ClusterTrouble):
    """It did not answer, or not in a way that means anything."""


class ClusterRefused(ClusterTrouble):
    """It refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status."""

    @property
    def is_final(self) -> bool:
        """Whether the same request would be refused again: something in it is wrong."""
        return self.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)


class Expired(ClusterTrouble):
    """The version to watch from is too old: list again."""


class Cluster:
    """A cluster. Every method raises ClusterAway and ClusterRefused."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(self, kind: Kind, manifest: Object) -> Object | None:
        """Creates an object; returns None if one has its name."""
        namespace = manifest["metadata"]["namespace"]
        try:
            with _trouble():
                object_: Any = _RESOURCES[kind](manifest)
                created: Object = await self._client.create(object_, namespace=namespace)  # type: ignore[call-overload]
                return created
        except ClusterRefused as refused:
            if refused.status == HTTPStatus.CONFLICT:
                return None
            raise

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Returns an object."""
        try:
            with _trouble():
                found: Object = await self._client.get(_RESOURCES[kind], name, namespace=namespace)
                return found
        except ClusterRefused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def patch(self, kind: Kind, namespace: str, name: str, changes: Object) -> None:
        """Merges changes into an object if it is there."""
        try:
            with _trouble():
                await self._client.patch(
                    _RESOURCES[kind], name, dict(changes), namespace=namespace, patch_type=PatchType.MERGE
                )
        except ClusterRefused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Deletes an object if it is there, and in the background what it owns."""
        try:
            with _trouble():
                await self._client.delete(_RESOURCES[kind], name, namespace=namespace, cascade=CascadeType.BACKGROUND)
        except ClusterRefused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise

    async def list(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> tuple[list[Object], str]:
        """Returns the objects with these labels, and the version of the listing."""
        with _trouble():
            listing = self._client.list(_RESOURCES[kind], namespace=namespace, labels=dict(labels), chunk_size=_PAGE)
            objects: list[Object] = [each async for each in listing]
            return objects, listing.resourceVersion

    async def watch(
        self, kind: Kind, namespace: str, labels: Mapping[str, str], version: str
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """Streams changes since a version: `ADDED`, `MODIFIED` or `DELETED`, and the object. Raises Expired."""
        changes = self._client.watch(
            _RESOURCES[kind],
            namespace=namespace,
            labels=dict(labels),
            resource_version=version,
            server_timeout=_WATCH_SECONDS,
        )
        with _trouble():
            async for change, object_ in changes:
                yield change, object_

    async def log(self, namespace: str, pod: str, container: str, lines: int) -> str:
        """Returns the last lines of what a container printed."""
        with _trouble():
            printed = self._client.log(pod, namespace=namespace, container=container, tail_lines=lines)
            return "".join([line async for line in printed])


@asynccontextmanager
async def open_cluster(config: ClusterConfig) -> AsyncIterator[Cluster]:
    """A cluster, while the context is open.

    Raises:
        ConfigurationError: The settings do not say how it is reached.
    """
    try:
        client = AsyncClient(config=_kubeconfig(config), timeout=httpx2.Timeout(_SECONDS), trust_env=False)
    except (ConfigError, OSError, KeyError, ValueError, TypeError) as error:
        raise ConfigurationError("RUNSTREAM_KUBERNETES_CLUSTERS", f"cluster {config.name!r}: {error!r}") from error
    try:
        yield Cluster(client)
    finally:
        await client.close()


def _kubeconfig(config: ClusterConfig) -> Any:
    if config.kubeconfig == IN_CLUSTER:
        return KubeConfig.from_service_account().get()
    return KubeConfig.from_file(config.kubeconfig).get(config.context or None)


@contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except httpx2.HTTPStatusError as error:
        raise _refusal(error) from error
    except (httpx2.HTTPError, ConfigError, OSError) as error:
        raise ClusterAway(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error


def _refusal(error: httpx2.HTTPStatusError) -> ClusterTrouble:
    status = (error.status.code if isinstance(error, ApiError) else None) or error.response.status_code
    message = (error.status.message if isinstance(error, ApiError) else None) or f"status {status}"
    if status == HTTPStatus.GONE:
        return Expired(message)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        return ClusterAway(message)
    return ClusterRefused(status, message)
