"""What the Jobs and pods of a place are: listed, then watched, listed again now and then."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from runstream_server.jobs.kubernetes import naming
from runstream_server.jobs.kubernetes.cluster import Cluster, ClusterTrouble, Expired, Object
from runstream_server.jobs.kubernetes.kinds import Kind
from runstream_server.jobs.kubernetes.model import JobView, Pods, PodView
from runstream_server.jobs.kubernetes.views import job_view, pod_view
from runstream_server.jobs.model import Place

logger = logging.getLogger(__name__)

_LIST_SECONDS = 240.0
"""How long a watch may last before everything is listed again: a connection that is dead is not noticed otherwise."""

_BACKOFF_SECONDS = (0.5, 30.0)
_DELETED = "DELETED"
_CHANGES = ("ADDED", "MODIFIED")


class Mirror:
    """The Jobs and pods of an installation in a place."""

    def __init__(self, cluster: Cluster, place: Place, installation: str, wake: Callable[[], None]) -> None:
        """`wake` is called after each change."""
        self._cluster = cluster
        self._place = place
        self._labels = naming.selector(installation)
        self._wake = wake
        self._jobs: dict[str, JobView] = {}
        self._pods: dict[str, PodView] = {}
        self._listed: set[Kind] = set()
        self.trouble = ""
        """Why the cluster could not be read last; empty: it can."""

    @property
    def is_ready(self) -> bool:
        """Whether everything was read at least once."""
        return len(self._listed) == len((Kind.JOB, Kind.POD))

    @property
    def jobs(self) -> Mapping[str, JobView]:
        """The Jobs by name, as they are now; later changes are not in it."""
        return dict(self._jobs)

    def pods(self) -> Mapping[str, Pods]:
        """The pods of each Job, by their number; those that are gone are among them as they were last."""
        by_job: dict[str, list[PodView]] = {}
        for pod in sorted(self._pods.values(), key=lambda pod: (pod.index, pod.name)):
            by_job.setdefault(pod.job, []).append(pod)
        return by_job

    async def run(self) -> None:
        """Reads until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(Kind.JOB, self._set_jobs, self._change_job))
            tasks.create_task(self._follow(Kind.POD, self._set_pods, self._change_pod))

    async def _follow(
        self, kind: Kind, set_all: Callable[[Sequence[Object]], None], change: Callable[[str, Object], None]
    ) -> None:
        backoff, longest = _BACKOFF_SECONDS
        while True:
            try:
                await self._list_and_watch(kind, set_all, change)
                backoff = _BACKOFF_SECONDS[0]
            except Expired:
                logger.info("listing again", extra={"place": str(self._place), "kind": kind.name_})
            except ClusterTrouble as trouble:
                logger.warning(
                    "cluster cannot be read",
                    extra={"place": str(self._place), "kind": kind.name_, "error": str(trouble)},
                )
                self.trouble = str(trouble)
                self._wake()
                await asyncio.sleep(backoff * random.uniform(0.8, 1.2))
                backoff = min(2 * backoff, longest)

    async def _list_and_watch(
        self, kind: Kind, set_all: Callable[[Sequence[Object]], None], change: Callable[[str, Object], None]
    ) -> None:
        objects, version = await self._cluster.list(kind, self._place.namespace, self._labels)
        set_all(objects)
        self._listed.add(kind)
        self.trouble = ""
        self._wake()
        try:
            async with (
                asyncio.timeout(_LIST_SECONDS),
                aclosing(self._cluster.watch(kind, self._place.namespace, self._labels, version)) as changes,
            ):
                async for what, object_ in changes:
                    change(what, object_)
                    self._wake()
        except TimeoutError:
            return

    def _set_jobs(self, objects: Sequence[Object]) -> None:
        self._jobs = {view.name: view for view in map(job_view, objects)}
        self._drop_pods_without_jobs()

    def _change_job(self, what: str, object_: Object) -> None:
        view = job_view(object_)
        if what in _CHANGES:
            self._jobs[view.name] = view
        elif what == _DELETED:
            self._jobs.pop(view.name, None)
            self._drop_pods_without_jobs()

    def _set_pods(self, objects: Sequence[Object]) -> None:
        there = {view.name: view for view in map(pod_view, objects)}
        gone = {name: _gone(view) for name, view in self._pods.items() if name not in there and view.job in self._jobs}
        self._pods = gone | there

    def _change_pod(self, what: str, object_: Object) -> None:
        view = pod_view(object_)
        if what in _CHANGES:
            self._pods[view.name] = view
        elif what == _DELETED and view.job in self._jobs:
            self._pods[view.name] = _gone(view)
        elif what == _DELETED:
            self._pods.pop(view.name, None)

    def _drop_pods_without_jobs(self) -> None:
        self._pods = {name: view for name, view in self._pods.items() if view.job in self._jobs or view.phase != _GONE}


_GONE = "Gone"


def _gone(pod: PodView) -> PodView:
    """A pod that is no longer there, as it was last: why it ended must not be forgotten before its Job is."""
    return replace(pod, is_deleted=True, phase=_GONE)
