"""The driver of a sweep: submits its runs, follows them, and stops those that promise too little.

It keeps nothing but what the services know. Started again it finds the runs that there are by their names, and goes on.
"""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from numbers import Real
from typing import Any, Final, TypeVar

from runstream._channel import Connection
from runstream._channel.threads import in_thread
from runstream._runner.start import start_runner
from runstream.aio import Workspace
from runstream.api.metrics.v1.metrics_service_pb2 import ReadSeriesRequest, TailSeriesRequest
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream.core import _filters as filters
from runstream.core._job.definition import JobPlan
from runstream.core._run.watching import watch_runs
from runstream.core._series import Series
from runstream.core._status import COMPLETED
from runstream.core._submission.methods import Submission
from runstream.core._submission.script import LOCAL, submit_plan
from runstream.core._tail import SeriesTail
from runstream.exceptions import AzureMLException, ServiceException
from runstream.train.hyperdrive._children import best_value, child_records
from runstream.train.hyperdrive._persistence import persist
from runstream.train.hyperdrive._proposals import Numbers, Trial, proposals_of, values_of
from runstream.train.hyperdrive._sweep import (
    HYPERPARAMETERS_TAG,
    NUMBERS_PROPERTY,
    REPLACES_PROPERTY,
    STOPPED_PROPERTY,
    Sweep,
    hyperparameter_arguments,
)
from runstream.train.hyperdrive._trials import SweepRun, Trials

TAILS: Final = 100
"""How many runs are followed at the same time; of those that have ended all is read, some at a time."""
READS: Final = 8
"""Of how many runs that have ended what they had logged is asked for at the same time."""
UNCLAIMED: Final = frozenset({run_pb2.RUN_STATUS_NOT_STARTED, run_pb2.RUN_STATUS_STARTING, run_pb2.RUN_STATUS_QUEUED})
"""A run on this machine may have no runner yet: an earlier driver was killed as it submitted it. Another one leaves."""
JUDGE_SECONDS: Final = 1.0
"""How far apart the runs are judged again by what others have logged."""
NOT_FOUND: Final = 404
NO_RESULT: Final = "No run of the sweep was completed."

T = TypeVar("T")


class Driver:
    """Drives one sweep."""

    def __init__(self, sweep: Sweep, workspace: Workspace, parent: run_pb2.Run, told: asyncio.Event) -> None:
        """`told` is set when the sweep is to be cancelled."""
        self._sweep = sweep
        self._workspace = workspace
        self._parent = parent
        self._id = parent.name.rpartition("/")[2]
        self._trials = Trials(self._id, sweep)
        self._earlier: list[Trial] = []
        self._proposals = proposals_of(sweep.sampling, sweep.seed)
        self._total = sweep.max_total_runs
        self._told = told
        self._changed = asyncio.Event()
        self._logged = asyncio.Event()
        self._tails = asyncio.Semaphore(TAILS)
        self._reads = asyncio.Semaphore(READS)
        self._begun: set[tuple[str, int]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._failures: list[BaseException] = []

    async def drive(self) -> bool:
        """Runs the sweep to its end; whether a run was completed.

        Raises:
            AzureMLException: A run cannot be submitted or followed. Those that are under way are cancelled.
        """
        try:
            await self._find_earlier()
            self._begin(self._hear_told())
            self._begin(self._watch())
            self._begin(self._judge_again())
            await self._submit_all()
        except Exception:
            with suppress(AzureMLException):
                await self._cancel(self._trials.active)
            raise
        finally:
            await _end(self._tasks)
        return await self._conclude()

    async def _find_earlier(self) -> None:
        """Takes note of the runs that an earlier driver has submitted, and of what earlier sweeps found."""
        for record in await persist(lambda: child_records(self._workspace, self._id)):
            self._hear(record)
            if self._sweep.plan.target == LOCAL and record.status in UNCLAIMED:
                await in_thread(start_runner, record.name, self._workspace._address)
        await self._cancel([run for run in self._trials if run.is_stopped])  # was decided, and perhaps not done
        for each in self._sweep.resume_from:
            self._earlier += await self._results_of(each)

    async def _submit_all(self) -> None:
        while not self._is_over:
            self._changed.clear()
            if self._failures:
                raise self._failures[0]
            await self._submit_some()
            if not self._is_over:
                await self._changed.wait()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Has some work done beside; where it fails the sweep does."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_failure)
        self._tasks.append(task)

    def _note_failure(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)
            self._changed.set()

    async def _hear_told(self) -> None:
        await self._told.wait()
        self._changed.set()

    @property
    def _is_stopping(self) -> bool:
        return self._told.is_set()

    @property
    def _is_over(self) -> bool:
        return not self._trials.active and (self._is_stopping or self._has_submitted_all)

    @property
    def _has_submitted_all(self) -> bool:
        trials = self._trials
        return trials.ordinal(trials.next_index) >= self._total and trials.to_replace is None

    async def _submit_some(self) -> None:
        if self._is_stopping:
            return await self._cancel(self._trials.active)
        while len(self._trials.under_way) < self._sweep.max_concurrent_runs:
            index, unstarted = self._trials.next_index, self._trials.to_replace
            if self._has_submitted_all or self._is_stopping:
                return None
            if unstarted is not None:
                await self._submit(index, unstarted.numbers, {REPLACES_PROPERTY: str(unstarted.index)})
                continue
            numbers = await self._propose(self._trials.ordinal(index))
            if numbers is None:
                self._total = self._trials.ordinal(index)
                return None
            await self._submit(index, numbers, {})
        return None

    async def _propose(self, ordinal: int) -> Numbers | None:
        tried = [*self._earlier, *self._trials.tried]
        return await asyncio.to_thread(self._proposals.propose, ordinal, tried)

    async def _submit(self, index: int, numbers: Numbers, of_run: Mapping[str, str]) -> None:
        values = values_of(self._sweep.sampling.parameter_space, numbers)
        plan = self._sweep.plan
        definition = type(plan.definition)()
        definition.CopyFrom(plan.definition)
        definition.arguments.extend(hyperparameter_arguments(values))
        own = JobPlan(
            definition=definition,
            target=plan.target,
            source_directory=None,
            max_run_duration_seconds=plan.max_run_duration_seconds,
        )
        submission = Submission(
            workspace=self._workspace,
            experiment=self._parent.experiment,
            experiment_name=self._parent.experiment_display_name,
            tags=[Tag(key=HYPERPARAMETERS_TAG, value=json.dumps(values))],
            run_id=self._trials.run_id(index),
            request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._parent.name}/{index}")),
            parent=self._parent.name,
        )
        properties = {**self._sweep.properties, NUMBERS_PROPERTY: json.dumps(numbers), **of_run}
        record = await persist(lambda: submit_plan(own, properties, submission))
        print(f"{submission.run_id}: {' '.join(hyperparameter_arguments(values))}", flush=True)  # noqa: T201
        self._hear(record)

    def _hear(self, record: run_pb2.Run) -> None:
        if (run := self._trials.hear(record)) is not None:
            self._begin_once(self._follow, run)
            if run.has_ended:
                self._begin_once(self._catch_up, run)
        self._changed.set()

    def _begin_once(self, work: Callable[[SweepRun], Coroutine[Any, Any, None]], run: SweepRun) -> None:
        if (begun := (work.__name__, run.index)) not in self._begun:
            self._begun.add(begun)
            self._begin(work(run))

    async def _watch(self) -> None:
        """Hears of the runs until it is cancelled."""
        request = api.WatchRunsRequest(
            parent=self._workspace._record.name, filter=filters.equals("parent", self._id), include_present=True
        )
        async for change in watch_runs(self._connection, request):
            if change.kind == api.RUN_CHANGE_KIND_UPDATED:
                self._hear(change.run)
            elif change.kind == api.RUN_CHANGE_KIND_DELETED:
                self._lose(change.run.name)

    def _lose(self, name: str) -> None:
        self._trials.lose(name)
        self._changed.set()

    async def _follow(self, run: SweepRun) -> None:
        """Reads the primary metric of a run to its end, which is some seconds after that of the run."""
        async with self._tails:
            await _unless_deleted(persist(lambda: self._read(run)))
        run.is_read = True
        self._changed.set()

    async def _catch_up(self, run: SweepRun) -> None:
        """Reads at once what a run that has ended had logged by then: another one can take its place."""
        async with self._reads:
            await _unless_deleted(persist(lambda: self._read_logged(run)))
        run.is_caught_up = True
        self._changed.set()

    async def _read(self, run: SweepRun) -> None:
        request = TailSeriesRequest(runs=[run.name], metrics=[self._sweep.metric])
        async with SeriesTail(self._connection, request) as tail:
            async for piece in tail:
                await self._take(run, piece)

    async def _read_logged(self, run: SweepRun) -> None:
        connection, metric = self._connection(), self._sweep.metric
        request = ReadSeriesRequest(runs=[run.name], metrics=[metric], start_index=run.read_count)
        async for response in connection.stream(connection.metrics.ReadSeries, request):
            piece = Series(metric, run.name)
            piece._add(response.start_index, response.columns)
            await self._take(run, piece)

    async def _take(self, run: SweepRun, piece: Series) -> None:
        """Takes note of values of a run; what is known of it already is passed over."""
        new = list(piece.values)[max(run.read_count - piece.start_index, 0) :]
        run.read_count = max(run.read_count, piece.start_index + len(piece))
        if self._trials.take(run, _numbers(self._sweep, new)):
            await self._stop(run)
        self._logged.set()

    async def _judge_again(self) -> None:
        """Stops runs by what others have logged later, until it is cancelled."""
        while True:
            await self._logged.wait()
            self._logged.clear()
            for run in self._trials.judge_again():
                await self._stop(run)
            await asyncio.sleep(JUDGE_SECONDS)

    async def _stop(self, run: SweepRun) -> None:
        """Does what the policy decided; that it did is written down first, for a driver that comes after this one."""
        best = "no number" if run.best is None else f"{self._sweep.turned(run.best):g} at best"
        print(f"{run.name.rpartition('/')[2]} is stopped: {best}", flush=True)  # noqa: T201
        connection = self._connection()
        properties = {STOPPED_PROPERTY: type(self._sweep.policy).__name__}
        request = api.AddPropertiesRequest(name=run.name, properties=properties)
        await persist(lambda: connection.call(connection.runs.AddProperties, request))
        await self._cancel([run])

    async def _cancel(self, runs: Sequence[SweepRun]) -> None:
        """Cancels runs, each of them once."""
        connection = self._connection()
        for run in runs:
            if not run.is_cancelled and not run.has_ended:
                reason = (
                    f"stopped by {type(self._sweep.policy).__name__}" if run.is_stopped else "the sweep was cancelled"
                )
                request = api.CancelRunRequest(name=run.name, reason=reason)
                await self._cancel_run(connection, run, request)

    async def _cancel_run(self, connection: Connection, run: SweepRun, request: api.CancelRunRequest) -> None:
        cancelled = await _unless_deleted(persist(lambda: connection.call(connection.runs.CancelRun, request)))
        if cancelled is None:
            self._lose(run.name)
        else:
            self._hear(cancelled.run)
        run.is_cancelled = True

    async def _conclude(self) -> bool:
        best = self._trials.best
        if best is not None and best.best is not None:
            connection = self._connection()
            properties = {
                "best_child_run_id": best.name.rpartition("/")[2],
                "score": repr(self._sweep.turned(best.best)),
            }
            request = api.AddPropertiesRequest(name=self._parent.name, properties=properties)
            await persist(lambda: connection.call(connection.runs.AddProperties, request))
            print(f"Best: {properties['best_child_run_id']} with {self._sweep.metric} {properties['score']}")  # noqa: T201
        return any(run.status == COMPLETED or run.is_stopped for run in self._trials)

    async def _results_of(self, sweep: str) -> list[Trial]:
        """What an earlier sweep found, as far as its space was the same."""
        found = []
        for record in await persist(lambda: child_records(self._workspace, sweep)):
            numbers = json.loads(record.properties.get(NUMBERS_PROPERTY, "{}"))
            best = best_value(record, self._sweep.metric, self._sweep.goal)
            if set(numbers) == set(self._sweep.sampling.parameter_space) and best is not None:
                found.append(Trial(numbers, self._sweep.turned(best), has_ended=True))
        return found

    def _connection(self) -> Connection:
        return self._workspace._connection()


def _numbers(sweep: Sweep, values: Iterable[object]) -> list[float]:
    """Values of a metric, turned so that more is better; what is no number is left out."""
    return [sweep.turned(float(value)) for value in values if isinstance(value, Real)]


async def _unless_deleted(work: Awaitable[T]) -> T | None:
    """What some work about a run gives; None: there is no such run any more."""
    try:
        return await work
    except ServiceException as error:
        if error.status_code != NOT_FOUND:
            raise
        return None


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
