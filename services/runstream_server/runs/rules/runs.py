"""The rules of a run's life."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from runstream_server.deleted import RunDeleted
from runstream_server.errors import InvalidField
from runstream_server.names import RunName
from runstream_server.postgres import Hints
from runstream_server.runs.errors import (
    InvalidStatusChange,
    PropertyConflict,
    RunManaged,
    RunNotFound,
    TooManyProperties,
    TooManyTags,
)
from runstream_server.runs.limits import BATCH_GET_BYTES, LABELS_BYTES, PROPERTIES, TAGS
from runstream_server.runs.model import (
    MetricSummary,
    Properties,
    Run,
    RunEdits,
    RunError,
    RunWarning,
    StatusChange,
    Tags,
)
from runstream_server.runs.rules.feed import TOPIC
from runstream_server.runs.status import RunStatus
from runstream_server.runs.store.columns import run_bytes
from runstream_server.runs.store.heartbeats import HeartbeatStore
from runstream_server.runs.store.runs import RunStore
from runstream_server.runs.store.statuses import Move, Moved
from runstream_server.runs.store.summaries import SummaryStore

_FEW = 5  # as large as they may be, they fit into a response

_HEARTBEAT_RETURNED = Move(wanted=RunStatus.RUNNING, reason="heartbeat returned")


@dataclass(frozen=True)
class RunStores:
    """What the rules keep runs in."""

    runs: RunStore
    heartbeats: HeartbeatStore
    summaries: SummaryStore


class Runs:
    """The rules of a run's life. Every method raises RunNotFound for a run that does not exist."""

    def __init__(self, stores: RunStores, hints: Hints, now: Callable[[], datetime]) -> None:
        self._runs = stores.runs
        self._heartbeats = stores.heartbeats
        self._summaries = stores.summaries
        self._hints = hints
        self._now = now

    async def get(self, workspace: str, run: str) -> tuple[Run, Sequence[StatusChange]]:
        """Returns a run, deleted or not, and its status history."""
        found = await self._runs.get(workspace, run)
        if found is None:
            raise RunNotFound(workspace, run)
        return found

    async def get_many(self, workspace: str, runs: Sequence[str]) -> Sequence[Run]:
        """Returns runs in the order given.

        Raises:
            InvalidField: They take more than one response may.
        """
        if len(runs) > _FEW and sum((await self._runs.sizes(workspace, runs)).values()) > BATCH_GET_BYTES:
            raise _too_large()
        found = await self._runs.get_many(workspace, runs)
        self._check_all_found(workspace, runs, found)
        if sum(map(run_bytes, found.values())) > BATCH_GET_BYTES:
            raise _too_large()
        return [found[run] for run in runs]

    async def check_exist(self, workspace: str, runs: Sequence[str]) -> None:
        """Raises RunNotFound for the first run that does not exist."""
        self._check_all_found(workspace, runs, await self._runs.sizes(workspace, runs))

    def _check_all_found(self, workspace: str, runs: Sequence[str], found: Container[str]) -> None:
        for run in runs:
            if run not in found:
                raise RunNotFound(workspace, run)

    async def summaries(self, workspace: str, runs: Sequence[str]) -> Mapping[str, Sequence[MetricSummary]]:
        """Returns the metric summaries of runs, by run."""
        return await self._summaries.of_runs(workspace, runs)

    async def record_summaries(self, workspace: str, summaries: Mapping[str, Sequence[MetricSummary]]) -> None:
        """Records metric summaries; those of runs that do not exist are ignored."""
        await self._summaries.record(workspace, summaries)

    async def update(
        self,
        workspace: str,
        run: str,
        edits: RunEdits,
        status: RunStatus | None,
        reason: str,
        *,
        time: datetime | None = None,
        keep_error: bool = False,
    ) -> Run:
        """Changes a run; a status is entered if the status machine allows it, whoever drives the run.

        With `keep_error` the error is recorded only with the status, and does not replace another one.

        Raises:
            InvalidStatusChange: The status cannot follow the present one; nothing was changed.
        """
        error = edits.error if keep_error else None
        if keep_error:
            edits = replace(edits, error=None)
        change = Move(wanted=status, edits=edits, reason=reason, time=time, error=error, keep_error=keep_error)
        return await self._move(workspace, run, change)

    async def start(self, workspace: str, run: str, time: datetime | None = None) -> Run:
        """Puts a run into Running, now or, as the caller says, at a time before.

        Raises:
            InvalidStatusChange: The present status does not lead there.
            RunManaged: A runner drives the run.
        """
        return await self._move(workspace, run, Move(wanted=RunStatus.RUNNING, only_unmanaged=True, time=time))

    async def complete(self, workspace: str, run: str, time: datetime | None = None) -> Run:
        """Ends a run as Completed, now or, as the caller says, at a time before, but not before its start.

        Raises:
            InvalidStatusChange: The present status does not lead there.
            RunManaged: A runner drives the run.
        """
        return await self._move(workspace, run, Move(wanted=RunStatus.COMPLETED, only_unmanaged=True, time=time))

    async def fail(self, workspace: str, run: str, error: RunError, time: datetime | None = None) -> Run:
        """Ends a run as Failed with an error, at the time that `complete` says."""
        return await self._move(workspace, run, Move(wanted=RunStatus.FAILED, error=error, time=time))

    async def cancel(
        self, workspace: str, run: str, *, recursive: bool, reason: str, time: datetime | None = None
    ) -> tuple[Run, int]:
        """Cancels a run, on request with its descendants; returns how many runs changed as well.

        Those that end by it do so at the time that `complete` says.
        """
        moved = await self._moved(workspace, run, Move(cancel=True, recursive=recursive, reason=reason, time=time))
        return moved.run, moved.changed_count

    async def _move(self, workspace: str, run: str, move: Move) -> Run:
        moved = await self._moved(workspace, run, move)
        if moved.accepted or move.wanted is None:
            return moved.run
        if move.only_unmanaged and moved.run.service_managed:
            raise RunManaged(workspace, run, moved.was)
        raise InvalidStatusChange(workspace, run, moved.was, move.wanted)

    async def _moved(self, workspace: str, run: str, move: Move) -> Moved:
        moved = await self._runs.move(workspace, run, move, self._now())
        if moved is None:
            raise RunNotFound(workspace, run)
        if moved.changed_count:
            self._changed(workspace)
        return moved

    async def heartbeat(self, workspace: str, run: str) -> tuple[RunStatus, bool]:
        """Notes that a run is alive; returns its status and whether its process is asked to stop."""
        beat = await self._heartbeats.beat(workspace, run, self._now())
        if beat is None:
            raise RunNotFound(workspace, run)
        status, cancel_requested = beat
        if status is RunStatus.NOT_RESPONDING:
            status = (await self._moved(workspace, run, _HEARTBEAT_RETURNED)).run.status
        return status, cancel_requested

    async def modify_tags(
        self, workspace: str, run: str, tags: Tags, removed: Sequence[str], *, refuse_deleted: bool = False
    ) -> Tags:
        """Sets and removes tags in one step; returns all tags as they now are.

        Raises:
            RunDeleted: The run is deleted, and that was to be refused.
            TooManyTags: More would result than a run may have.
        """
        labelled = await self._runs.modify_tags(workspace, run, tags, removed, self._now(), refuse_deleted)
        if labelled is None:
            raise RunNotFound(workspace, run)
        if labelled.refused:
            raise RunDeleted(RunName(workspace, run))
        if not labelled.fits:
            raise TooManyTags(TAGS, LABELS_BYTES)
        if labelled.is_changed:
            self._changed(workspace)
        return labelled.new

    async def add_properties(
        self, workspace: str, run: str, properties: Properties, *, refuse_deleted: bool = False
    ) -> Properties:
        """Adds properties, all or none; returns all properties as they now are.

        Raises:
            RunDeleted: The run is deleted, and that was to be refused.
            PropertyConflict: One exists with another value.
            TooManyProperties: More would result than a run may have.
        """
        labelled = await self._runs.add_properties(workspace, run, properties, self._now(), refuse_deleted)
        if labelled is None:
            raise RunNotFound(workspace, run)
        if labelled.refused:
            raise RunDeleted(RunName(workspace, run))
        for key, value in properties.items():
            if labelled.old.get(key, value) != value:
                raise PropertyConflict(workspace, run, key, labelled.old[key], value)
        if not labelled.fits:
            raise TooManyProperties(PROPERTIES, LABELS_BYTES)
        if labelled.is_changed:
            self._changed(workspace)
        return labelled.new

    async def add_warnings(self, workspace: str, run: str, warnings: Sequence[RunWarning]) -> None:
        """Appends warnings that the run does not have yet."""
        added = await self._runs.add_warnings(workspace, run, warnings, self._now())
        if added is None:
            raise RunNotFound(workspace, run)
        if added:
            self._changed(workspace)

    async def set_deleted(self, workspace: str, runs: Sequence[str], *, deleted: bool) -> int:
        """Marks runs as deleted, or no longer so, all or none; returns how many changed."""
        changed = await self._runs.set_deleted(workspace, runs, deleted, self._now())
        if isinstance(changed, str):
            raise RunNotFound(workspace, changed)
        if changed:
            self._changed(workspace)
        return changed

    def _changed(self, workspace: str) -> None:
        self._hints.publish(TOPIC, [workspace])


def _too_large() -> InvalidField:
    return InvalidField("names", f"these runs take more than {BATCH_GET_BYTES} bytes together; ask for fewer")
