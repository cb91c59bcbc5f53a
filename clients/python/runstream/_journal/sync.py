"""Uploads what lies on this machine: journals first, then spools."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runstream._channel import Connection
from runstream._channel.tasks import end_tasks
from runstream._journal.journal import done_bytes, journals_in
from runstream._journal.replay import Replay, Trouble
from runstream._spool.events import EventReader, Stop
from runstream._spool.inventory import Found, groups_in, look_at
from runstream._spool.lock import lock_file
from runstream._spool.places import LOCK_NAME, events_of, progress_of, spools_in
from runstream._spool.progress import ProgressFile
from runstream._uplink.process import Uplink
from runstream.api.runs.v1.run_history_service_pb2 import ListWorkspacesRequest

LOOK_SECONDS: Final = 0.2


@dataclass
class Outcome:
    """How a sync went."""

    run_count: int = 0
    """Runs that were recorded offline and are made now."""
    byte_count: int = 0
    """Bytes of spools that are stored now."""
    left_bytes: int = 0
    """Bytes of spools that are not: the services do not want them, or they are damaged."""
    troubles: list[Trouble] = field(default_factory=list)


async def sync(folder: Path, default_address: Callable[[], str], override: str, tell: Callable[[int], None]) -> Outcome:
    """Uploads all that is in a folder and those below it. Doing so again, or twice at once, changes nothing.

    What was recorded offline goes to `default_address`, everything else to the address it was recorded for, and all of
    it to `override` if that is given. `tell` is told how many bytes are left, now and then.

    Raises:
        AzureMLException: The services do not answer.
    """
    outcome = Outcome()
    for group in groups_in(folder):
        before = pending_bytes(group)
        await _sync_group(group, default_address, override, tell, outcome)
        left = pending_bytes(group)
        outcome.left_bytes += left
        outcome.byte_count += before - left
    return outcome


def pending_bytes(folder: Path) -> int:
    """How many bytes of the spools and journals of a folder are not carried up."""
    spools = sum(each.pending_bytes for each in _found(folder))
    sizes = [(journal.stat().st_size, done_bytes(journal)) for journal in journals_in(folder)]
    return spools + sum(max(size - done, 0) for size, done in sizes)


async def _sync_group(
    group: Path, default_address: Callable[[], str], override: str, tell: Callable[[int], None], outcome: Outcome
) -> None:
    address = override or _address(group) or default_address()
    await _reach(address)
    lock = await _lock(group, tell)
    if lock is None:
        return
    telling = asyncio.create_task(_tell(group, tell))
    try:
        replay = Replay(group, Connection.to(address))
        try:
            await replay.run()
        finally:
            outcome.run_count += len(replay.runs)
            outcome.troubles += replay.troubles
        _start_again(group)
        has_own = not journals_in(group) and bool(_address(group))
        await Uplink(
            group, address=override or ("" if has_own else address), is_errand=True, skipped=replay.missing
        ).run()
        outcome.troubles += [trouble for found in _found(group) if (trouble := _trouble(found))]
    finally:
        os.close(lock)
        await end_tasks(telling)


async def _reach(address: str) -> None:
    connection = Connection.to(address)
    await connection.call(connection.runs.ListWorkspaces, ListWorkspacesRequest(page_size=1))


async def _lock(group: Path, tell: Callable[[int], None]) -> int | None:
    """The lock of the group; None: another process that has it carried everything up meanwhile."""
    while (lock := lock_file(group / LOCK_NAME)) is None:
        left = sum(each.pending_bytes for each in _found(group) if not each.is_stopped and each.header)
        if not left and not journals_in(group):
            return None
        tell(left)
        await asyncio.sleep(LOOK_SECONDS)
    return lock


async def _tell(group: Path, tell: Callable[[int], None]) -> None:
    while True:
        tell(pending_bytes(group))
        await asyncio.sleep(LOOK_SECONDS)


def _start_again(group: Path) -> None:
    """Has what the services did not want tried once more."""
    for found in _found(group):
        if found.is_stopped:
            progress = ProgressFile(progress_of(found.path))
            progress.save(progress.progress._replace(stopped=False))
            progress.close()


def _address(group: Path) -> str:
    """Where the spools of a group go; empty: that was not known when they were written."""
    from runstream._channel.address import OFFLINE

    found = (each.header.address for each in _found(group) if each.header)
    return next((address for address in found if address != OFFLINE), "")


def _found(group: Path) -> list[Found]:
    return [found for spool in spools_in(group) if (found := look_at(spool))]


def _trouble(found: Found) -> Trouble | None:
    what = found.header.run if found.header else found.path.name
    if found.header is None:
        return Trouble(what, f"{found.path} is damaged: `runstream spool verify` tells more")
    if not found.is_stopped:
        return None
    stops = [event for event in EventReader(events_of(found.path)).read() if isinstance(event, Stop)]
    return Trouble(what, stops[-1].message if stops else "the services do not want it")
