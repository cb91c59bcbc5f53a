"""Submits runs."""

from collections.abc import Callable
from datetime import datetime

from runstream_server.jobs.errors import RunExists
from runstream_server.jobs.model import LOCAL, Job, JobState, Submission, TargetKind
from runstream_server.jobs.rules.settling import Settling
from runstream_server.jobs.rules.starting import Starters
from runstream_server.jobs.rules.targets import Targets, local_target
from runstream_server.jobs.store.jobs import JobStore
from runstream_server.names import RunName
from runstream_server.not_found import ComputeTargetNotFound, JobNotFound
from runstream_server.runhistory import ManagedRun, ManagedRuns


class Submissions:
    """The rules of submitting runs."""

    def __init__(
        self,
        store: JobStore,
        targets: Targets,
        starters: Starters,
        settling: Settling,
        runs: ManagedRuns,
        now: Callable[[], datetime],
        watch: Callable[[str], None],
    ) -> None:
        """`watch` is told of each workspace in which jobs are queued."""
        self._store = store
        self._targets = targets
        self._starters = starters
        self._settling = settling
        self._runs = runs
        self._now = now
        self._watch = watch

    async def submit(self, new: Submission) -> tuple[ManagedRun, Job]:
        """Creates a run and queues its job. A repeated request gets what the first one made, as it is now.

        Raises:
            ComputeTargetNotFound: No target has the name.
            TargetCannotRun: The target cannot execute this.
            RunExists: The identifier is taken.
            RunstreamError: Whatever else the run history refuses.
        """
        if job := await self._store.of_request(new.name.workspace, new.request_id):
            return await self._finished(job)
        target = local_target(new.target.workspace)
        if new.target.compute_target != LOCAL:
            target = await self._targets.get_other(new.target)
        self._starters[target.kind].check_job(target, new.spec)
        job = await self._store.add(new, target.kind)
        return await self._finished(job or await self._obstacle(new))

    async def _obstacle(self, new: Submission) -> Job:
        """The job that the same request added meanwhile; raises what else was in the way."""
        if job := await self._store.of_request(new.name.workspace, new.request_id):
            return job
        if await self._store.get(new.name):
            raise RunExists(new.name)
        raise ComputeTargetNotFound(new.target)

    async def _finished(self, job: Job) -> tuple[ManagedRun, Job]:
        """The run and the job of a request, as they are when it is done."""
        if job.state is JobState.SUBMITTING:
            run = await self._settling.submit(job)
            if job.kind is not TargetKind.LOCAL:
                self._watch(job.name.workspace)  # only now: who sees no queued job there stops watching
        else:
            run = await self._runs.get(job.name)
        return run, await self._get(job.name)

    async def get(self, name: RunName) -> tuple[Job, str, datetime | None]:
        """Returns a job, and while it is queued why it waits and when that was found; raises JobNotFound."""
        job = await self._get(name)
        if not job.is_queued:
            return job, "", None
        return job, await self._starters[job.kind].queueing_message(job), self._now()

    async def _get(self, name: RunName) -> Job:
        job = await self._store.get(name)
        if job is None:
            raise JobNotFound(name)
        return job
