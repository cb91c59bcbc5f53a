"""Brings jobs out of the states in which their run has yet to be told.

Each step may be repeated, by any process, after a crash at any point.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runstream_server.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from runstream_server.jobs.model import HeldJob, Job, JobState, TargetKind, Verdict
from runstream_server.jobs.rules.starting import HINT_TOPIC, agent_key
from runstream_server.jobs.store.jobs import Change, JobStore
from runstream_server.jobs.telemetry import LOST
from runstream_server.names import ComputeTargetName
from runstream_server.postgres import Hints
from runstream_server.runhistory import Failure, ManagedRun, ManagedRuns, StatusEntry, StatusRefused

CANCELED = Verdict("CANCELED", reason="cancelled before a runner started it")

_REFUSALS = (NotFound, AlreadyExists, InvalidArgument, FailedPrecondition)
_FINALIZING = "FINALIZING"


@dataclass(frozen=True)
class Patience:
    """How long somebody is waited for."""

    start: timedelta
    """The runner of a job for `local`."""

    lease: timedelta
    """Whoever has a job."""

    lost: timedelta
    """A runner that was not heard of, where the target does not say."""


class Settling:
    """Tells runs what became of their jobs. Every method raises RunHistoryUnavailable."""

    def __init__(self, store: JobStore, runs: ManagedRuns, hints: Hints, patience: Patience) -> None:
        self._store = store
        self._runs = runs
        self._hints = hints
        self._patience = patience

    async def settle(self, job: Job) -> None:
        """Brings a job out of whichever such state it is in."""
        if job.state is JobState.SUBMITTING:
            await self.submit(job)
        elif job.state is JobState.REQUEUEING:
            await self.requeue(job)
        elif job.state is JobState.ENDING:
            await self.end(job)

    async def submit(self, job: Job) -> ManagedRun:
        """Creates the run of a job and queues both; raises whatever the run history refuses, and forgets the job."""
        try:
            run = await self._runs.create(job.name, job.submission or b"", job.request_id)
        except _REFUSALS:
            await self._store.drop(job)
            raise
        if run.status == "NOT_STARTED":
            run = await self._entered(job, StatusEntry("STARTING" if job.kind is TargetKind.LOCAL else "QUEUED"))
        await self._queue(job, run)
        return run

    async def requeue(self, job: Job) -> None:
        """Queues a run whose runner is lost once more, unless there is nothing left to execute."""
        try:
            run = await self._runs.get(job.name)
        except NotFound:
            await self.change(job, Change(JobState.ENDED))
            return
        reason = f"attempt {job.attempt} of {job.max_attempts}: the runner of the one before was lost"
        if run.status == "RUNNING":
            run = await self._entered(job, StatusEntry("NOT_RESPONDING", reason="the runner was lost"))
        if not (run.has_ended or run.is_to_cancel):
            run = await self._entered(job, StatusEntry("QUEUED", reason=reason))
        await self._queue(job, run)

    async def repeat(self, job: Job, *, lapsed_at: datetime | None = None) -> bool:
        """Takes a job from a lost runner, and queues its run for the next attempt; returns False if it changed.

        With `lapsed_at` only if nobody has spoken for it since, as in `Change`.
        """
        change = Change(JobState.REQUEUEING, raises_lease=True, counts_attempt=True, lapsed_at=lapsed_at)
        if not await self.change(job, change):
            return False
        LOST.labels("repeated").inc()
        requeueing = await self._store.get(job.name)
        if requeueing is not None:
            await self.settle(requeueing)
        return True

    async def _entered(self, job: Job, entry: StatusEntry) -> ManagedRun:
        """The run after it entered a status, or as it is where it cannot."""
        try:
            return await self._runs.enter(job.name, entry)
        except StatusRefused:
            return await self._runs.get(job.name)

    async def _queue(self, job: Job, run: ManagedRun) -> None:
        if run.has_ended:
            await self.change(job, Change(JobState.ENDED))
        elif run.is_to_cancel:
            await self.judge(HeldJob(job.name, job.lease), [job.state], CANCELED)
        else:
            lasts = self._patience.start if job.kind is TargetKind.LOCAL else None
            await self.change(job, Change(JobState.QUEUED, lasts=lasts))

    async def end(self, job: Job) -> ManagedRun | None:
        """Ends the run of a job as its verdict says; returns the run, None if it is gone.

        Raises:
            StatusRefused: The run cannot end so; its runner has it again.
        """
        verdict = job.verdict
        if verdict is None:
            return None
        run = None
        try:
            run = await self._runs.enter(job.name, _entry(verdict))
        except StatusRefused:
            await self.change(job, Change(JobState.HELD, lasts=self._patience.lease))
            raise
        except NotFound:
            pass
        await self.change(job, Change(JobState.ENDED))
        return run

    async def judge(
        self, held: HeldJob, states: Sequence[JobState], verdict: Verdict, *, lapsed_at: datetime | None = None
    ) -> bool:
        """Takes a job away from whoever has it, and ends its run; returns False if it was in none of these states.

        With `lapsed_at` only if nobody has spoken for it since, as in `Change`.
        """
        change = Change(JobState.ENDING, raises_lease=True, verdict=verdict, lapsed_at=lapsed_at)
        if not await self._store.change(held, states, change):
            return False
        judged = await self._store.get(held.name)
        if judged is not None:
            await self.end(judged)
        return True

    async def change(self, job: Job, change: Change) -> bool:
        """Changes a job that is as it was read, and hints at it."""
        changed = await self._store.change(HeldJob(job.name, job.lease), [job.state], change)
        if changed:
            is_of_agent = job.agent and change.to is not JobState.QUEUED
            key = agent_key(job.target, job.agent) if is_of_agent else str(job.target)
            self._hints.publish(HINT_TOPIC, [key])
        return changed

    def hint_at_queues(self, targets: Iterable[ComputeTargetName]) -> None:
        """Hints that there may be jobs for the agents of targets."""
        self._hints.publish(HINT_TOPIC, map(str, targets))

    def hint_back(self, target: ComputeTargetName, agent: str) -> None:
        """Hints that a job was taken back from an agent, and queued."""
        self._hints.publish(HINT_TOPIC, [str(target), agent_key(target, agent)])


def is_over(run: ManagedRun) -> bool:
    """Whether the program of a run has ended: it is not executed again."""
    return run.has_ended or run.status == _FINALIZING


def _entry(verdict: Verdict) -> StatusEntry:
    failure = None
    if verdict.code:
        failure = Failure(verdict.code, verdict.message, verdict.exception_type, verdict.stack_trace)
    return StatusEntry(verdict.status, verdict.reason, failure, verdict.time)
