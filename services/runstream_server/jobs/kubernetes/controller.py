"""Looks after the Jobs of one place, as long as this process leads there."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from runstream_server.errors import RunstreamError
from runstream_server.jobs.kubernetes import naming
from runstream_server.jobs.kubernetes.cluster import Cluster, ClusterRefused, ClusterTrouble
from runstream_server.jobs.kubernetes.clusters import describe_trouble
from runstream_server.jobs.kubernetes.deciding import Decision, Fail, Patience, Step, Tell, decide, orphans
from runstream_server.jobs.kubernetes.explaining import is_stuck
from runstream_server.jobs.kubernetes.kinds import Kind
from runstream_server.jobs.kubernetes.making import Making
from runstream_server.jobs.kubernetes.mirror import Mirror
from runstream_server.jobs.kubernetes.model import JobView, Pods
from runstream_server.jobs.kubernetes.outcomes import Outcomes
from runstream_server.jobs.model import Assignment, JobState, Place
from runstream_server.jobs.store.assignments import AT_ONCE, AssignmentStore
from runstream_server.jobs.store.jobs import JobStore
from runstream_server.jobs.telemetry import OFFERS

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often everything is looked at when nothing tells of a change."""

_SHORTEST_SECONDS = 0.05
_MAKING_AT_ONCE = 8
_BACKOFF_SECONDS = (1.0, 60.0)


@dataclass(frozen=True)
class Office:
    """What the controllers of all places share."""

    assignments: AssignmentStore
    jobs: JobStore
    making: Making
    outcomes: Outcomes

    patience: timedelta
    """How long a pod may fail to start for a reason that hardly goes away."""


class Controller:
    """Looks after the Jobs of a place."""

    def __init__(self, office: Office, cluster: Cluster, place: Place, installation: str, epoch: int) -> None:
        self._office = office
        self._cluster = cluster
        self._place = place
        self._installation = installation
        self._epoch = epoch
        self._woken = asyncio.Event()
        self._mirror = Mirror(cluster, place, installation, self.wake)
        self._room = asyncio.Semaphore(_MAKING_AT_ONCE)
        self._backoffs: dict[str, tuple[float, float]] = {}
        self._stuck: dict[str, float] = {}
        self._expire_times: dict[str, datetime | None] = {}
        """When the run tokens expire that Secrets have; what another process made is not known."""
        self.idle_since: float | None = None
        """Since when there is nothing to look after, in monotonic seconds; None: there is."""

    def wake(self) -> None:
        """Says that something may have changed."""
        self._woken.set()

    async def run(self) -> None:
        """Works until cancelled, or until another process leads."""
        reading = asyncio.create_task(self._mirror.run(), name=f"jobs-mirror-{self._place}")
        reading.add_done_callback(lambda _: self.wake())
        try:
            while not reading.done() and await self._pass():
                await asyncio.sleep(_SHORTEST_SECONDS)
                await self._wait()
            if reading.done():
                reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _wait(self) -> None:
        """Waits for a change, at most until something is to be tried again."""
        now = monotonic()
        coming = [not_before - now for not_before, _ in self._backoffs.values() if not_before > now]
        seconds = min([LOOK_SECONDS, *coming])
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _pass(self) -> bool:
        """Does everything that is due now; returns False if another process leads."""
        self._woken.clear()
        try:
            return await self._look()
        except RunstreamError as error:
            logger.warning("jobs of a cluster wait", extra={"place": str(self._place), "reason": error.reason})
            return True

    async def _look(self) -> bool:
        assigned: int | None = AT_ONCE
        while assigned == AT_ONCE:
            assigned = await self._assign()
        if assigned is None:
            return False
        jobs, pods = self._mirror.jobs, self._mirror.pods()  # before the assignments: a Job is made after its own
        assignments = await self._office.assignments.of_place(self._place)
        self._note_idleness(assignments)
        self._note_stuck(pods)
        names = {each.name for each in assignments}
        self._backoffs = {name: backoff for name, backoff in self._backoffs.items() if name in names}
        self._expire_times = {name: time for name, time in self._expire_times.items() if name in names}
        async with asyncio.TaskGroup() as tasks:
            for each in assignments:
                tasks.create_task(self._tend(each, jobs, pods.get(each.name, ())))
            if self._mirror.is_ready:
                for job in orphans(list(jobs.values()), assignments):
                    tasks.create_task(self._clear_away(job))
        return True

    async def _assign(self) -> int | None:
        office = self._office
        assigned = await office.assignments.assign(
            self._place,
            self._epoch,
            lambda run, attempt: naming.job_name(self._installation, run, attempt),
        )
        OFFERS.labels("made").inc(assigned or 0)
        return assigned

    def _note_idleness(self, assignments: Sequence[Assignment]) -> None:
        if assignments:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = monotonic()

    def _note_stuck(self, pods: Mapping[str, Pods]) -> None:
        """Notes since when pods cannot start; who leads here next begins anew."""
        now, stuck = monotonic(), [pod.name for each in pods.values() for pod in each if is_stuck(pod)]
        self._stuck = {name: self._stuck.get(name, now) for name in stuck}

    def _stuck_for(self) -> dict[str, timedelta]:
        now = monotonic()
        return {name: timedelta(seconds=now - since) for name, since in self._stuck.items()}

    async def _tend(self, assignment: Assignment, jobs: Mapping[str, JobView], pods: Pods) -> None:
        """Looks after one attempt; whatever goes wrong with it holds up no other one."""
        try:
            await self._advance(assignment, jobs, pods)
        except RunstreamError as error:
            logger.info("attempt not looked after", extra={"run": str(assignment.run), "reason": error.reason})
        except Exception:
            logger.exception("attempt not looked after", extra={"run": str(assignment.run)})

    async def _advance(self, assignment: Assignment, jobs: Mapping[str, JobView], pods: Pods) -> None:
        not_before, _ = self._backoffs.get(assignment.name, (0.0, 0.0))
        patience = Patience(self._office.patience, self._stuck_for())
        decision = decide(assignment, jobs.get(assignment.name), pods, patience)
        if monotonic() < not_before:
            return
        if decision is Step.NOTHING:
            await self._renew_token(assignment)
            return
        if not self._mirror.is_ready and decision is not Step.CREATE:
            await self._tell_trouble(assignment, self._mirror.trouble)
            return
        try:
            async with self._room:
                await self._do(assignment, decision)
            self._backoffs.pop(assignment.name, None)
        except ClusterTrouble as trouble:
            await self._bear(assignment, trouble)

    async def _renew_token(self, assignment: Assignment) -> None:
        """Sees that a runner that begins after days finds a token that is taken; later ones it renews itself."""
        if assignment.job_state is not JobState.OFFERED or not assignment.counts:
            return
        name = assignment.name
        try:
            async with self._room:
                self._expire_times[name] = await self._office.making.renew(
                    self._cluster, assignment, self._expire_times.get(name)
                )
        except ClusterTrouble as trouble:
            await self._bear(assignment, trouble)

    async def _do(self, assignment: Assignment, decision: Decision) -> None:
        match decision:
            case Step.CREATE:
                await self._create(assignment)
            case Step.DELETE:
                await self._delete(assignment.name)
            case Step.FORGET:
                await self._office.assignments.forget(assignment)
            case Tell(message):
                await self._tell(assignment, message)
            case Fail(ended, is_gone):
                if not (is_gone and await self._is_there(assignment)):
                    await self._office.outcomes.end(self._cluster, assignment, ended)
                    self.wake()

    async def _create(self, assignment: Assignment) -> None:
        job = await self._office.jobs.get(assignment.run)
        run = await self._office.outcomes.run_of(job) if job is not None else None
        if job is None or run is None or run.has_ended or run.is_to_cancel:
            return
        try:
            made = await self._office.making.make(self._cluster, self._installation, assignment, job, run)
        except ClusterRefused as refused:
            if not refused.is_final:
                raise
            await self._office.outcomes.refuse(assignment, str(refused))
            return
        uid, self._expire_times[assignment.name] = made
        await self._office.assignments.made(assignment, uid)
        await self._tell(assignment, "was handed to the cluster")

    async def _delete(self, name: str) -> None:
        await self._cluster.delete(Kind.JOB, self._place.namespace, name)

    async def _clear_away(self, orphan: JobView) -> None:
        logger.warning("Job runs for nobody", extra={"place": str(self._place), "job": orphan.name})
        try:
            await self._delete(orphan.name)
        except ClusterTrouble as trouble:
            logger.info("Job not deleted", extra={"job": orphan.name, "error": str(trouble)})

    async def _is_there(self, assignment: Assignment) -> bool:
        return await self._cluster.get(Kind.JOB, self._place.namespace, assignment.name) is not None

    async def _bear(self, assignment: Assignment, trouble: ClusterTrouble) -> None:
        first, longest = _BACKOFF_SECONDS
        _, backoff = self._backoffs.get(assignment.name, (0.0, first))
        self._backoffs[assignment.name] = (monotonic() + backoff, min(2 * backoff, longest))
        await self._tell_trouble(assignment, describe_trouble(trouble))

    async def _tell_trouble(self, assignment: Assignment, trouble: str) -> None:
        if trouble and trouble != assignment.message:
            await self._tell(assignment, trouble)

    async def _tell(self, assignment: Assignment, message: str) -> None:
        await self._office.assignments.tell(assignment, message)
