"""The rules of holding jobs."""

from datetime import timedelta

from runstream_server.jobs.errors import JobEnded, JobHeld, LeaseLost
from runstream_server.jobs.model import HeldJob, Job, JobState, TargetKind, Verdict
from runstream_server.jobs.rules.settling import CANCELED, Settling
from runstream_server.jobs.store.jobs import Change, JobStore
from runstream_server.jobs.telemetry import OFFERS
from runstream_server.names import RunName
from runstream_server.not_found import JobNotFound
from runstream_server.runhistory import ManagedRun, ManagedRuns, StatusEntry, StatusRefused

_OVER = (JobState.ENDING, JobState.ENDED)
_NOT_RESPONDING = "NotResponding"

LOST_RUNNERS = frozenset({"RunnerTerminated", "RunnerDied"})
"""With these errors a runner says that it was ended itself, its machine being shut down for example."""


class Leases:
    """The rules of holding jobs. Every method raises JobNotFound for a run that does not exist or was not submitted."""

    def __init__(self, store: JobStore, runs: ManagedRuns, settling: Settling, duration: timedelta) -> None:
        self._store = store
        self._runs = runs
        self._settling = settling
        self.duration = duration
        """How long a lease counts from each renewal."""

    async def claim(self, name: RunName, holder: str, lease: int) -> tuple[Job, ManagedRun]:
        """Makes somebody the holder of a job, with the lease of the offer if there was one. Idempotent.

        Raises:
            JobHeld: Somebody else has it.
            JobEnded: Its run has ended, or is to be cancelled.
            LeaseLost: The lease of the offer no longer counts.
        """
        job = await self._store.claim(name, holder, lease, self.duration)
        if job is None:
            raise await self._obstacle(name, lease)
        if job.agent:
            OFFERS.labels("claimed").inc()
        run = await self._runs.get(name)
        if run.has_ended:
            await self._settling.change(job, Change(JobState.ENDED, raises_lease=True))
            raise JobEnded(name)
        if run.is_to_cancel:
            await self._settling.judge(HeldJob(name, job.lease), [JobState.HELD], CANCELED)
            raise JobEnded(name)
        return job, run

    async def _obstacle(self, name: RunName, lease: int) -> Exception:
        job = await self._get(name)
        if job.state is JobState.SUBMITTING:
            return JobNotFound(name)
        if job.state in _OVER:
            return JobEnded(name)
        if lease not in (0, job.lease):
            return LeaseLost(name, lease, job.lease)
        return JobHeld(name, job.agent or job.runner or "the service")

    async def renew(self, held: HeldJob) -> tuple[str, bool]:
        """Lets a lease count again; returns the status of the run, and whether its processes are asked to stop.

        Raises:
            LeaseLost: It no longer counts.
        """
        if not await self._store.renew(held, self.duration):
            job = await self._get(held.name)
            if not _is_of(job, held) or job.state not in _OVER:
                raise LeaseLost(held.name, held.lease, job.lease)
        return await self._runs.beat(held.name)

    async def check_open(self, name: RunName) -> None:
        """Raises JobEnded if a job has ended, or is about to."""
        if (await self._get(name)).state in _OVER:
            raise JobEnded(name)

    async def report(self, held: HeldJob, entry: StatusEntry, *, is_last: bool) -> ManagedRun:
        """Moves the run of a job into a status, which ends the job if it is the last one. Idempotent.

        Raises:
            LeaseLost: The lease no longer counts; nothing was changed.
            StatusRefused: The status cannot follow the present one.
        """
        job = await self._get(held.name)
        if not _is_of(job, held) or job.state not in (JobState.HELD, *_OVER):
            raise LeaseLost(held.name, held.lease, job.lease)
        if job.state is JobState.ENDED:
            return await self._runs.get(held.name)
        if is_last and await self._is_repeated(job, entry):
            return await self._runs.get(held.name)
        if is_last and job.state is JobState.HELD:
            change = Change(JobState.ENDING, verdict=_verdict(entry))
            if not await self._store.change(held, [JobState.HELD], change):
                return await self.report(held, entry, is_last=True)
        if is_last:
            return await self._end(held)
        if not await self._store.renew(held, self.duration):
            raise LeaseLost(held.name, held.lease, job.lease)
        return await self._enter(held.name, entry)

    async def _is_repeated(self, job: Job, entry: StatusEntry) -> bool:
        """Queues a job again whose runner had to leave, if that is allowed; returns whether it did."""
        if entry.failure is None or entry.failure.code not in LOST_RUNNERS or job.kind is TargetKind.LOCAL:
            return False
        if job.state is not JobState.HELD or job.attempt >= job.max_attempts:
            return False
        if (await self._runs.get(job.name)).is_to_cancel:
            return False
        return await self._settling.repeat(job)

    async def _end(self, held: HeldJob) -> ManagedRun:
        run = await self._settling.end(await self._get(held.name))
        return run or await self._runs.get(held.name)

    async def _enter(self, name: RunName, entry: StatusEntry) -> ManagedRun:
        """Moves a run; one that was thought not to respond does so, as whoever reports shows."""
        try:
            return await self._runs.enter(name, entry)
        except StatusRefused as refused:
            if not await self._responds(name, refused):
                raise
        return await self._runs.enter(name, entry)

    async def _responds(self, name: RunName, refused: StatusRefused) -> bool:
        if refused.metadata.get("present_status") != _NOT_RESPONDING:
            return False
        await self._runs.beat(name)
        return True

    async def _get(self, name: RunName) -> Job:
        job = await self._store.get(name)
        if job is None:
            raise JobNotFound(name)
        return job


def _is_of(job: Job, held: HeldJob) -> bool:
    return job.lease == held.lease


def _verdict(entry: StatusEntry) -> Verdict:
    failure = entry.failure
    if failure is None:
        return Verdict(entry.status, entry.reason, time=entry.time)
    return Verdict(
        entry.status,
        entry.reason,
        failure.code or "UserError",
        failure.message,
        failure.exception_type,
        failure.stack_trace,
        entry.time,
    )
