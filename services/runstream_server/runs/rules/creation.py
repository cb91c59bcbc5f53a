"""Creates runs. Single ones that arrive at the same time share a transaction; each has its own outcome."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from runstream_server.errors import InvalidField, ResourceExhausted, RunstreamError, Unavailable
from runstream_server.postgres import Hints
from runstream_server.runs.errors import (
    ExperimentMismatch,
    ExperimentNotFound,
    RunExists,
    RunNotFound,
    WorkspaceNotFound,
    of_request,
)
from runstream_server.runs.model import NewRun, Run
from runstream_server.runs.rules.feed import TOPIC
from runstream_server.runs.store.creation import CreationStore, Obstacles, Refused, Remembered
from runstream_server.runs.store.runs import RunStore

_GROUP = 256
_PACE_SECONDS = 0.004  # between the beginnings of two transactions: under load they carry more runs, and cost less
_ATTEMPTS = 5
MOST_WAITING = 4_096
"""How many single runs may wait for their creation, those of callers that gave up included."""


class Contended(Unavailable):
    """What a request names changed each time it was about to be used."""

    reason = "CONTENDED"

    def __init__(self) -> None:
        super().__init__("what the request names was created or deleted meanwhile; call again")


class TooManyCreations(ResourceExhausted):
    """More runs wait to be created than the server has room for."""

    reason = "TOO_MANY_CALLS"

    def __init__(self) -> None:
        super().__init__(f"{MOST_WAITING} runs wait to be created already; call again")


@dataclass(frozen=True, eq=False)
class _Wanted:
    """One single run to create, and where its outcome goes."""

    workspace: str
    run: NewRun
    request: Remembered | None
    outcome: "asyncio.Future[tuple[Run, bool]]"

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def succeed(self, run: Run, *, is_new: bool) -> None:
        if not self.outcome.done():
            self.outcome.set_result((run, is_new))


class Creations:
    """The rules of creating runs."""

    def __init__(self, store: CreationStore, runs: RunStore, hints: Hints, now: Callable[[], datetime]) -> None:
        self._store = store
        self._runs = runs
        self._hints = hints
        self._now = now
        self._waiting: deque[_Wanted] = deque()
        self._arrived = asyncio.Event()

    async def create(self, workspace: str, run: NewRun, request_id: uuid.UUID | None) -> tuple[Run, bool]:
        """Creates a run. A repeated request gets what the first one made, as it is now, and False with it.

        Raises:
            WorkspaceNotFound, ExperimentNotFound, RunNotFound: Something it names does not exist.
            RunExists: The identifier is taken.
            ExperimentMismatch: The parent belongs to another experiment.
        """
        request = Remembered("run", request_id, [run.run]) if request_id else None
        outcome: asyncio.Future[tuple[Run, bool]] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= MOST_WAITING:
            raise TooManyCreations
        self._waiting.append(_Wanted(workspace, run, request, outcome))
        self._arrived.set()
        return await outcome

    async def create_batch(
        self, workspace: str, runs: Sequence[NewRun], request_id: uuid.UUID | None
    ) -> tuple[Sequence[Run], bool]:
        """Creates all runs or none. A repeated request gets what the first one made, as it is now, and False with it.

        Raises:
            As `create`; the message says which run it is about.
        """
        _check_distinct(runs)
        requests = [Remembered("batch", request_id, [run.run for run in runs])] if request_id else []
        for _ in range(_ATTEMPTS):
            try:
                created = await self._store.create(workspace, runs, requests, self._now())
            except Refused:
                made = await self._explained(workspace, runs, requests)
                if made is not None:
                    return made, False
            else:
                self._hints.publish(TOPIC, [workspace])
                return created, True
        raise Contended

    async def _explained(
        self, workspace: str, runs: Sequence[NewRun], requests: Sequence[Remembered]
    ) -> Sequence[Run] | None:
        """What the request made before, or None if nothing is in the way any more; raises what is."""
        obstacles = await self._store.obstacles(workspace, runs, requests)
        for request in requests:
            if made := obstacles.requests.get(request.request_id):
                found = await self._runs.get_many(workspace, made)
                return [found[run] for run in made if run in found]
        for position, run in enumerate(runs):
            if error := _error(workspace, run, obstacles):
                raise of_request(error, position)
        return None

    async def commit_forever(self) -> None:
        """Creates single runs as they arrive, those that arrived meanwhile together."""
        clock = asyncio.get_running_loop().time
        begun = 0.0
        while True:
            await self._arrived.wait()
            await asyncio.sleep(max(begun + _PACE_SECONDS - clock(), 0))
            begun = clock()
            await self._settle(self._take())

    async def _settle(self, group: list[_Wanted]) -> None:
        """Gives each of a group its outcome. One that the database chokes on does not take the others with it."""
        try:
            await self._commit(group)
        except Exception as error:  # noqa: BLE001 - callers get it as the outcome of their calls
            if len(group) == 1 or isinstance(error, RunstreamError):
                for wanted in group:
                    wanted.fail(error)
            else:
                for wanted in group:
                    if not wanted.outcome.done():
                        await self._settle([wanted])

    def _take(self) -> list[_Wanted]:
        """Takes runs of one workspace with distinct identifiers and requests; the rest waits."""
        group: list[_Wanted] = []
        rest: list[_Wanted] = []
        seen: set[object] = set()
        while self._waiting and len(group) < _GROUP:
            wanted = self._waiting.popleft()
            if wanted.outcome.done():  # the caller gave up
                continue
            keys = {wanted.run.run, wanted.request.request_id if wanted.request else wanted}
            if (group and wanted.workspace != group[0].workspace) or not seen.isdisjoint(keys):
                rest.append(wanted)
                continue
            seen |= keys
            group.append(wanted)
        self._waiting.extendleft(reversed(rest))
        if not self._waiting:
            self._arrived.clear()
        return group

    async def _commit(self, group: list[_Wanted]) -> None:
        workspace = group[0].workspace
        for _ in range(_ATTEMPTS):
            runs = [wanted.run for wanted in group]
            requests = [wanted.request for wanted in group if wanted.request]
            try:
                created = await self._store.create(workspace, runs, requests, self._now())
            except Refused:
                group = await self._without_obstacles(workspace, group)
                if not group:
                    return
            else:
                self._hints.publish(TOPIC, [workspace])
                for wanted, run in zip(group, created, strict=True):
                    wanted.succeed(run, is_new=True)
                return
        for wanted in group:
            wanted.fail(Contended())

    async def _without_obstacles(self, workspace: str, group: Sequence[_Wanted]) -> list[_Wanted]:
        """Tells those with something in their way what it is; returns the others."""
        requests = [wanted.request for wanted in group if wanted.request]
        obstacles = await self._store.obstacles(workspace, [wanted.run for wanted in group], requests)
        free: list[_Wanted] = []
        for wanted in group:
            made = obstacles.requests.get(wanted.request.request_id) if wanted.request else None
            if made:
                await self._succeed_again(wanted, made[0])
            elif error := _error(workspace, wanted.run, obstacles):
                wanted.fail(error)
            else:
                free.append(wanted)
        return free

    async def _succeed_again(self, wanted: _Wanted, made: str) -> None:
        found = await self._runs.get(wanted.workspace, made)
        if found is None:
            wanted.fail(RunNotFound(wanted.workspace, made))
        else:
            wanted.succeed(found[0], is_new=False)


def _check_distinct(runs: Sequence[NewRun]) -> None:
    seen: set[str] = set()
    for position, run in enumerate(runs):
        if run.run in seen:
            raise InvalidField(f"requests[{position}].run_id", f"{run.run!r} is there twice; run ids are distinct")
        seen.add(run.run)


def _error(workspace: str, run: NewRun, obstacles: Obstacles) -> RunstreamError | None:
    return next(_errors(workspace, run, obstacles), None)


def _errors(workspace: str, run: NewRun, obstacles: Obstacles) -> Iterator[RunstreamError]:
    if not obstacles.workspace_exists:
        yield WorkspaceNotFound(workspace)
    if run.kind.experiment is not None and run.kind.experiment not in obstacles.experiments:
        yield ExperimentNotFound(workspace, run.kind.experiment)
    if run.kind.parent is not None:
        of_parent = obstacles.parents.get(run.kind.parent)
        if of_parent is None:
            yield RunNotFound(workspace, run.kind.parent)
        elif run.kind.experiment not in (None, of_parent):
            yield ExperimentMismatch(workspace, str(run.kind.experiment), run.kind.parent, of_parent)
    if run.run in obstacles.taken:
        yield RunExists(workspace, run.run)
