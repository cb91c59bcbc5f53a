"""Looks after jobs that nobody speaks for, and finishes what a crash left half done."""

import asyncio
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from runstream_server.errors import RunstreamError
from runstream_server.jobs.model import LOCAL, HeldJob, Job, JobState, TargetKind, Verdict
from runstream_server.jobs.rules.cancellations import Cancellations
from runstream_server.jobs.rules.forgetting import Forgetting
from runstream_server.jobs.rules.settling import Patience, Settling, is_over
from runstream_server.jobs.rules.targets import Targets
from runstream_server.jobs.store.agents import AgentStore
from runstream_server.jobs.store.jobs import Change, JobStore
from runstream_server.jobs.store.queue import QueueStore
from runstream_server.jobs.store.upkeep import AT_ONCE, Lapsed, UpkeepStore
from runstream_server.jobs.telemetry import LOST, OFFERS, QUEUED
from runstream_server.names import RunName
from runstream_server.not_found import ComputeTargetNotFound
from runstream_server.runhistory import ManagedRun, ManagedRuns

logger = logging.getLogger(__name__)

FORGOTTEN_AFTER = timedelta(days=7)
"""When an agent that was not heard of is forgotten."""

_LONGEST_INTERVAL_SECONDS = 10.0
_PAUSED_AFTER_INTERVALS = 3
_RUNS_AT_ONCE = 32

_LOST_WHILE_CANCELED = Verdict("CANCELED", reason="cancelled; its runner was lost")


@dataclass(frozen=True)
class Stores:
    """What the reaper looks at."""

    jobs: JobStore
    queue: QueueStore
    agents: AgentStore
    upkeep: UpkeepStore


class Reaper:
    """Safe in any number of processes at once: each change is made by one of them."""

    def __init__(
        self,
        stores: Stores,
        targets: Targets,
        settling: Settling,
        cancellations: Cancellations,
        runs: ManagedRuns,
        patience: Patience,
    ) -> None:
        self._stores = stores
        self._targets = targets
        self._settling = settling
        self._cancellations = cancellations
        self._runs = runs
        self._patience = patience
        self._forgetting = Forgetting(stores.upkeep, runs)
        shortest = min(patience.lease, patience.start).total_seconds()
        self.interval = timedelta(seconds=min(shortest / 6, _LONGEST_INTERVAL_SECONDS))
        """How long there is between two passes, about."""

    async def run_forever(self) -> None:
        """Makes passes, the first at once."""
        while True:
            try:
                await self.make_pass()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next pass may do better
                logger.warning("pass over the jobs failed", extra={"error": repr(error)})
            await asyncio.sleep(self.interval.total_seconds() * random.uniform(0.8, 1.2))

    async def make_pass(self) -> None:
        """Does everything that is due now."""
        away = await self._stores.upkeep.look(_PAUSED_AFTER_INTERVALS * self.interval)
        if away:
            logger.info("jobs were not looked after", extra={"seconds": round(away.total_seconds(), 1)})
        for step in (self._settle, self._lapse, self._remind, self._sweep, self._tidy, self._forget):
            with _by_itself(step.__name__):
                await step()

    async def _settle(self) -> None:
        for name in await self._stores.upkeep.take_unsettled(self.interval):
            with _by_itself(name):
                job = await self._stores.jobs.get(name)
                if job is not None:
                    await self._settling.settle(job)

    async def _remind(self) -> None:
        if targets := await self._stores.upkeep.to_ask_again(2 * self.interval):
            self._settling.hint_at_queues(targets)

    async def _sweep(self) -> None:
        await self._cancellations.sweep()

    async def _tidy(self) -> None:
        await self._stores.agents.forget(FORGOTTEN_AFTER)
        queued = await self._stores.upkeep.queued_by_kind()
        for kind in TargetKind:
            QUEUED.labels(kind.value).set(queued.get(kind, 0))

    async def _forget(self) -> None:
        await self._forgetting.make_pass()

    async def _lapse(self) -> None:
        after: RunName | None = None
        while lapsed := await self._stores.upkeep.lapsed(after):
            for each in lapsed:
                with _by_itself(each.held.name):
                    if each.state is JobState.OFFERED:
                        await self._take_back(each)
                    elif each.state is JobState.QUEUED:
                        await self._settling.judge(each.held, [JobState.QUEUED], self._not_started())
            await self._lose([each for each in lapsed if each.state is JobState.HELD])
            if len(lapsed) < AT_ONCE:
                return
            after = lapsed[-1].held.name

    async def _take_back(self, lapsed: Lapsed) -> None:
        reason = f"agent {lapsed.agent} did not start it in time"
        job = await self._stores.jobs.get(lapsed.held.name)
        if job is not None and await self._stores.queue.take_back(lapsed.held, reason):
            OFFERS.labels("expired").inc()
            self._settling.hint_back(job.target, lapsed.agent)

    def _not_started(self) -> Verdict:
        return Verdict(
            "FAILED",
            reason="no runner claimed it in time",
            code="RunnerNotStarted",
            message=f"No runner claimed the run within {self._patience.start.total_seconds():g} s of its submission."
            " The program that submits a run to `local` starts its runner, so it was probably ended before it could,"
            " or could not start one: look at its output, and submit again.",
        )

    async def _lose(self, lapsed: Sequence[Lapsed]) -> None:
        for _, of_workspace in groupby(lapsed, key=lambda each: each.held.name.workspace):
            rest = list(of_workspace)
            while rest:
                some, rest = rest[:_RUNS_AT_ONCE], rest[_RUNS_AT_ONCE:]
                runs = {run.name: run for run in await self._runs.get_known([each.held.name for each in some])}
                for each in some:
                    with _by_itself(each.held.name):
                        await self._lose_one(each, runs.get(each.held.name))

    async def _lose_one(self, lapsed: Lapsed, run: ManagedRun | None) -> None:
        held = lapsed.held
        job = await self._stores.jobs.get(held.name)
        if job is None or job.lease != held.lease or job.state is not JobState.HELD:
            return
        if run is None or run.has_ended:
            await self._settling.change(job, Change(JobState.ENDED, raises_lease=True))
        elif run.is_to_cancel:
            await self._settling.judge(held, [JobState.HELD], _LOST_WHILE_CANCELED, lapsed_at=lapsed.since)
        elif lapsed.can_be_repeated and not is_over(run):
            await self._settling.repeat(job, lapsed_at=lapsed.since)
        elif lapsed.is_disowned or lapsed.silence >= await self._lost_after(job):
            await self._give_up(job, lapsed)

    async def _lost_after(self, job: Job) -> timedelta:
        if job.target.compute_target == LOCAL:
            return self._patience.lost
        try:
            target = await self._targets.get_other(job.target)
        except ComputeTargetNotFound:
            return self._patience.lost
        return self._patience.lost if target.lost_after is None else target.lost_after

    async def _give_up(self, job: Job, lapsed: Lapsed) -> None:
        what = "Job" if job.kind is TargetKind.KUBERNETES else "agent"
        where = f"{what} {job.agent}" if job.agent else f"runner {job.runner}"
        why = "its machine was probably switched off, or lost its network"
        if lapsed.is_disowned:
            why = "the agent is there and has no such runner, so somebody probably killed it"
        verdict = Verdict(
            "FAILED",
            reason="its runner was lost",
            code="RunnerLost",
            message=f"Nothing was heard of the runner of attempt {job.attempt} ({where}) since"
            f" {lapsed.since:%Y-%m-%d %H:%M:%S} UTC: {why}. What the run"
            " logged until then is kept; submit again, or set max_attempts so that a lost run is executed again.",
        )
        held = HeldJob(job.name, job.lease)
        if await self._settling.judge(held, [JobState.HELD], verdict, lapsed_at=lapsed.since):
            LOST.labels("given up").inc()


@contextmanager
def _by_itself(what: object) -> Iterator[None]:
    """Keeps what goes wrong from the rest: the next pass tries again."""
    try:
        yield
    except RunstreamError as error:
        logger.info("not looked after", extra={"what": str(what), "reason": error.reason})
    except Exception as error:  # noqa: BLE001 - one job must not hold up the others, whatever is wrong with it
        logger.warning("not looked after", extra={"what": str(what), "error": repr(error)})
