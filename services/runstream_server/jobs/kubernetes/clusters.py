"""The clusters that the service was configured with."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

from runstream_server.cluster_config import KubernetesConfig
from runstream_server.jobs.errors import ClusterNotConfigured
from runstream_server.jobs.kubernetes import naming
from runstream_server.jobs.kubernetes.cluster import Cluster, ClusterAway, ClusterRefused, ClusterTrouble, open_cluster
from runstream_server.jobs.kubernetes.kinds import Kind
from runstream_server.jobs.model import Place

_ASK_SECONDS = 3.0
_KNOWN_SECONDS = 10.0
_MOST_KNOWN = 1_000


class Clusters:
    """Clusters by name, and how they stand."""

    def __init__(self, by_name: Mapping[str, Cluster]) -> None:
        self._by_name = by_name
        self._known: dict[Place, tuple[float, str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def get(self, name: str) -> Cluster:
        """Returns a cluster; raises ClusterNotConfigured."""
        if name not in self._by_name:
            raise ClusterNotConfigured(name)
        return self._by_name[name]

    async def status(self, place: Place) -> str:
        """How a place stands, for people; asked anew when that was some seconds ago."""
        if place.cluster not in self:
            return str(ClusterNotConfigured(place.cluster))
        for known in (place, _anywhere(place)):
            asked_time, status = self._known.get(known, (0.0, ""))
            if status and monotonic() - asked_time < _KNOWN_SECONDS:
                return status
        return await self._ask(place)

    def _know(self, place: Place, status: str) -> str:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[place] = (monotonic(), status)
        return status

    async def _ask(self, place: Place) -> str:
        nothing = {naming.MANAGED_BY: naming.RUNSTREAM, naming.RUN: "none"}
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                await self.get(place.cluster).list(Kind.JOB, place.namespace, nothing)
        except TimeoutError:
            return self._know(_anywhere(place), f"the cluster has not answered within {_ASK_SECONDS:g} s")
        except ClusterTrouble as trouble:
            is_away = isinstance(trouble, ClusterAway)
            return self._know(_anywhere(place) if is_away else place, describe_trouble(trouble))
        return self._know(place, "the cluster answers")


def _anywhere(place: Place) -> Place:
    """What is known of a whole cluster."""
    return Place(place.cluster, "")


def describe_trouble(trouble: ClusterTrouble) -> str:
    """What went wrong with a cluster, for people."""
    if isinstance(trouble, ClusterRefused):
        return f"the cluster refuses ({trouble.status}): {trouble}"
    return f"the cluster does not answer: {trouble}"


@asynccontextmanager
async def open_clusters(config: KubernetesConfig) -> AsyncIterator[Clusters]:
    """The clusters of the settings, while the context is open; raises ConfigurationError."""
    async with AsyncExitStack() as stack:
        yield Clusters({each.name: await stack.enter_async_context(open_cluster(each)) for each in config.clusters})
