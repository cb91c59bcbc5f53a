"""What becomes of a run whose attempt ended without a word of its runner."""

import logging

from runstream_server.errors import NotFound
from runstream_server.jobs.kubernetes.cluster import Cluster, ClusterTrouble
from runstream_server.jobs.kubernetes.explaining import RUNNER_LOST, RUNNER_NOT_STARTED, Ended
from runstream_server.jobs.model import Assignment, Job, JobState, Verdict
from runstream_server.jobs.rules.settling import Settling, is_over
from runstream_server.jobs.store.jobs import Change, JobStore
from runstream_server.jobs.telemetry import LOST
from runstream_server.runhistory import ManagedRun, ManagedRuns

logger = logging.getLogger(__name__)

_LOG_LINES = 30
_LOG_CHARACTERS = 2_000
_OPEN = (JobState.OFFERED, JobState.HELD)


class Outcomes:
    """Ends or repeats attempts: each by whoever comes first, since the lease is raised with it."""

    def __init__(self, jobs: JobStore, runs: ManagedRuns, settling: Settling) -> None:
        self._jobs = jobs
        self._runs = runs
        self._settling = settling

    async def run_of(self, job: Job) -> ManagedRun | None:
        """Returns the run of a job; where it is gone for ever, ends the job and returns None."""
        try:
            return await self._runs.get(job.name)
        except NotFound:
            await self._settling.change(job, Change(JobState.ENDED, raises_lease=True))
            return None

    async def refuse(self, assignment: Assignment, problem: str) -> None:
        """Ends a run whose objects the cluster will not have."""
        message = f"The cluster refuses the Job of the run; correct its compute target, or the run: {problem}"
        verdict = Verdict("FAILED", reason="refused by the cluster", code="JobRefused", message=message)
        await self._settling.judge(assignment.held, _OPEN, verdict)

    async def end(self, cluster: Cluster, assignment: Assignment, ended: Ended) -> None:
        """Ends an attempt, and with it the run, unless it may be repeated."""
        job = await self._jobs.get(assignment.run)
        if job is None or job.lease != assignment.lease or job.state not in _OPEN:
            return
        run = await self.run_of(job)
        if run is None:
            return
        if run.is_to_cancel:
            verdict = Verdict("CANCELED", reason=f"cancelled; {ended.code}")
            await self._settling.judge(assignment.held, _OPEN, verdict)
        elif ended.repeats and job.attempt < job.max_attempts and not is_over(run):
            await self._settling.repeat(job)
        elif await self._settling.judge(assignment.held, _OPEN, await self._verdict(cluster, assignment, ended)):
            LOST.labels("given up").inc()

    async def _verdict(self, cluster: Cluster, assignment: Assignment, ended: Ended) -> Verdict:
        message = ended.message
        if printed := await self._printed(cluster, assignment, ended):
            message = f"{message}\nIt printed at last:\n{printed}"
        return Verdict("FAILED", reason=ended.code, code=ended.code, message=message)

    async def _printed(self, cluster: Cluster, assignment: Assignment, ended: Ended) -> str:
        """The last lines of a container that ended; what the cluster noted of them where its log is gone."""
        pod = ended.pod
        if pod is None or ended.code not in (RUNNER_LOST, RUNNER_NOT_STARTED):
            return ""
        try:
            printed = await cluster.log(assignment.place.namespace, pod.name, pod.container, _LOG_LINES)
        except ClusterTrouble as trouble:
            logger.info("log of a pod cannot be read", extra={"run": str(assignment.run), "error": str(trouble)})
            printed = pod.exit_message
        return printed.strip()[-_LOG_CHARACTERS:]
