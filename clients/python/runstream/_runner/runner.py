"""The runner: executes one job from the claim to the report of its end."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from runstream._channel import Connection
from runstream._channel.connection import close_connections
from runstream._channel.threads import in_thread
from runstream._runner import containers, endings, finish
from runstream._runner.access import Access, remove_token
from runstream._runner.children import Children
from runstream._runner.execution import Execution
from runstream._runner.failures import JobFailed
from runstream._runner.folder import Ending, JobFolder, Progress
from runstream._runner.holding import Following, Holding
from runstream._runner.job import CANCELED, COMPLETED, FAILED, LEFT, NOT_OURS, JobToRun
from runstream._runner.lease import Lease, Lost
from runstream._runner.members import terminated
from runstream._runner.nodes import this_node
from runstream._runner.output import JobLogs
from runstream._runner.patience import services_away
from runstream._runner.processes import adopt_orphans
from runstream._runner.recovery import resume_lost_jobs
from runstream._runner.variables import OUTPUTS
from runstream._runner.waking import wake_uplink
from runstream._runner.watch import Order, Orders, hearing_signals, leave_guard, watch_run
from runstream.api.jobs.v1.job_service_pb2 import ClaimJobResponse
from runstream.api.runs.v1.run_pb2 import RUN_STATUS_FINALIZING

CODES: Final = {"COMPLETED": COMPLETED, "FAILED": FAILED, "CANCELED": CANCELED, "": NOT_OURS}
FOLLOWING_SECONDS: Final = 30.0
"""How long other nodes have to end after the first one completed the run."""

_logger = logging.getLogger(__name__)


def execute(job: JobToRun, *, comes_after: bool, guard_pipe: int) -> int:
    """Executes a job, or after a lost runner reports its end; the exit code says how it ended."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    adopt_orphans()
    return asyncio.run(_execute(job, comes_after, guard_pipe))


async def _execute(job: JobToRun, comes_after: bool, guard_pipe: int) -> int:
    orders = Orders(0.0 if this_node().is_first else FOLLOWING_SECONDS)
    leave_guard(guard_pipe)
    async with hearing_signals(orders), Children.open() as children:
        try:
            return await Runner(job, children, orders).run(comes_after=comes_after)
        finally:
            await close_connections()


class Runner:
    """Executes one job."""

    def __init__(self, job: JobToRun, children: Children, orders: Orders) -> None:
        self._job = job
        self._children = children
        self._orders = orders
        self._folder = JobFolder.of(job)
        self._progress = self._folder.read()
        self._begin_ns = time.time_ns()
        self._access = Access(self._folder.path, job.address, os.environ)
        self._connection = Connection.to(job.address, self._access.credential)
        self._holding: Holding = (
            Lease(job, self._connection, self._access, self._progress.lease)
            if this_node().is_first
            else Following(job, self._connection, self._access)
        )
        self._logs = JobLogs(job)
        self._execution: Execution | None = None

    async def run(self, *, comes_after: bool) -> int:
        """Executes the job; where a lost runner has begun, ends it as that would have, or as failed."""
        wake_uplink(self._job.address)  # once more: the one that the guard found alive may have left meanwhile
        try:
            # What a lost runner left is reported in any case: the guard passes on what it was told to that one as well.
            claimed = await (self._claim() if comes_after else self._orders.unless_given(self._claim()))
        except Lost as lost:
            _logger.warning("%s is not executed: %s", self._job.run, lost)
            claimed = None
        if claimed is None:
            self._progress = replace(self._progress, processes=terminated(self._progress.processes))
            return self._leave_finished(await self._store_late())
        self._orders.hear(claimed.run.status, claimed.run.HasField("cancel_request_time"))
        async with self._beside():
            if this_node().is_first:
                await in_thread(resume_lost_jobs)
            ending = self._progress.ending
            if ending is None:
                ending = await self._end_lost(claimed) if comes_after else await self._execute(claimed)
                self._note(replace(self._progress, ending=ending))
            finished = await self._finish(ending) if ending.status else ending
            if finished is not None and not finished.status:
                finished = await self._store_late()
            if self._execution is not None:
                await self._execution.close()
        return self._leave_finished(finished)

    async def _claim(self) -> ClaimJobResponse:
        claimed = await self._holding.claim()
        if not self._progress.lease:
            attempt = max(claimed.job.attempt, 1)
            skips = claimed.job.definition.skip_outputs
            job = self._job if this_node().is_first else None
            self._note(Progress(job, socket.gethostname(), claimed.lease, attempt, skips))
        return claimed

    async def _execute(self, claimed: ClaimJobResponse) -> Ending:
        execution = self._execution = Execution(
            self._job,
            claimed,
            self._connection,
            self._children,
            self._orders,
            self._holding,
            self._logs,
            self._folder.path,
            self._access,
        )

        def note_processes() -> None:
            self._note(replace(self._progress, processes=execution.statuses()))

        try:
            ending = await execution.run(note_processes)
        except JobFailed as error:
            ending = endings.of_failure(error)
            self._holding.tell_failure(ending)
        self._progress = replace(self._progress, processes=execution.statuses())
        return ending

    async def _end_lost(self, claimed: ClaimJobResponse) -> Ending:
        """The end after a lost runner, whose processes the guard has ended."""
        with contextlib.suppress(OSError):
            await containers.remove_left(self._children, claimed.job.definition, self._folder.path)
        self._progress = replace(self._progress, processes=terminated(self._progress.processes))
        ending = endings.of_lost_runner(self._begin_ns)
        self._holding.tell_failure(ending)
        return ending

    async def _finish(self, ending: Ending) -> Ending | None:
        """Stores the results and reports the end; how it ended after all. None: another runner has to go on with it."""
        if self._orders.order is None:
            self._holding.report(RUN_STATUS_FINALIZING)
        missing = await in_thread(finish.Missing, ending, self._outputs)
        finished = await _unless(self._conclude(ending, missing), self._orders.lost.wait(), self._leave_undone(missing))
        return Ending("") if finished is None and self._orders.lost.is_set() else finished

    @property
    def _outputs(self) -> Path | None:
        return None if self._progress.skips_outputs else self._folder.work / OUTPUTS

    async def _store_late(self) -> Ending | None:
        """Stores what a run has here that ended without this runner, of which nothing was heard for too long.

        None: another runner has to go on with it.
        """
        ending = Ending("")
        if not self._progress.lease:
            return ending
        missing = await in_thread(finish.Missing, ending, self._outputs)
        return await _unless(self._conclude_late(ending, missing), self._leave_undone(missing))

    async def _conclude_late(self, ending: Ending, missing: finish.Missing) -> Ending:
        missing.stored("end")
        if await self._is_last_attempt():
            await self._store_all(ending, missing)
        return ending

    async def _conclude(self, ending: Ending, missing: finish.Missing) -> Ending:
        if self._orders.order is Order.ENDED and not await self._is_last_attempt():
            return Ending("")
        ending = await self._store_all(ending, missing)
        ending = await self._holding.cause_of(ending)
        await self._holding.end(ending)
        return ending

    async def _is_last_attempt(self) -> bool:
        return await finish.is_last_attempt(self._connection, self._job.run, self._progress.attempt)

    async def _store_all(self, ending: Ending, missing: finish.Missing) -> Ending:
        settling = asyncio.create_task(in_thread(self._logs.settle), name="settle")
        try:
            return await self._store(ending, settling, missing)
        finally:
            settling.cancel()

    async def _leave_undone(self, missing: finish.Missing) -> None:
        """Returns when the runner is to end, and the services are away so that it cannot do what is left to do."""
        await self._orders.terminated.wait()
        _logger.warning("asked to end; %s: not stored yet: %s", self._job.run, missing)
        await services_away(self._connection, self._job.run)
        _logger.error(
            "the services are away; %s: not stored: %s. The next runner or agent on this machine goes on with it.",
            *(self._job.run, missing),
        )

    async def _store(self, ending: Ending, settling: "asyncio.Task[None]", missing: finish.Missing) -> Ending:
        try:
            if not self._progress.skips_outputs:
                await finish.store_outputs(self._connection, self._job, self._folder.work)
        except JobFailed as failure:
            ending = finish.with_failure(ending, failure)
        missing.stored("outputs")
        if self._execution is not None:
            await self._execution.told()
        if self._progress.processes:
            name = finish.of_attempt(finish.STATUS_FILE, self._progress.attempt, this_node().index)
            await finish.store_document(self._connection, self._job.run, name, self._progress.processes)
        await settling
        missing.stored("logs")
        return ending

    def _note(self, progress: Progress) -> None:
        self._progress = progress
        try:
            self._folder.write(progress)
        except OSError as error:  # another runner would know less, which is no reason for this one to stop
            _logger.warning("%s cannot be written: %s", self._folder.path, error)

    def _leave_finished(self, ending: Ending | None) -> int:
        if ending is None:
            return LEFT
        remove_token(self._folder.path, self._job.address, self._job.run)
        self._folder.remove(keeps_files=self._job.keeps_files or self._progress.skips_outputs)
        return CODES[ending.status]

    @asynccontextmanager
    async def _beside(self) -> AsyncIterator[None]:
        """Holds the lease, and hears of orders, while the context is open."""
        works = (
            self._holding.renew(self._orders.hear),
            self._holding.send_reports(),
            watch_run(self._job, self._connection, self._orders, self._progress.attempt),
            self._tend(),
        )
        tasks = [asyncio.create_task(self._until_lost(work)) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_lost(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Lost as lost:
            self._orders.give(Order.LOST, str(lost))
        except Exception:
            _logger.exception("%s: a part of the runner has failed; it goes on without", self._job.run)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await in_thread(self._logs.tend)


async def _unless(work: Coroutine[Any, Any, Ending], *stops: Coroutine[Any, Any, Any]) -> Ending | None:
    """The result of some work; None: one of the stops came first, and the work was cancelled."""
    working, *stopping = [asyncio.create_task(each) for each in (work, *stops)]
    await asyncio.wait({working, *stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (working, *stopping):
        task.cancel()
    await asyncio.wait({working, *stopping})
    return None if working.cancelled() else working.result()
