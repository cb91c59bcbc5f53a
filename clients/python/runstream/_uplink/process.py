"""Carries all spools of a group until there is nothing left to do."""

import asyncio
import contextlib
import logging
import math
import os
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runstream._channel.connection import close_connections
from runstream._channel.tasks import end_tasks
from runstream._channel.tokens import Credential
from runstream._spool.events import EventReader, Warned
from runstream._spool.format import SpoolDamaged
from runstream._spool.lock import is_live, lock_file, sign
from runstream._spool.places import (
    EVENTS_SUFFIX,
    FILES_SUFFIX,
    LOCK_NAME,
    PROGRESS_SUFFIX,
    SPOOL_SUFFIX,
    STAGED_SUFFIX,
    events_of,
    files_of,
    progress_of,
)
from runstream._spool.reader import read_header
from runstream._spool.tokens import forget_tokens
from runstream._uplink.carrier import Carrier
from runstream._uplink.doorbell import Doorbell
from runstream._uplink.followers import Followers
from runstream._uplink.outputs import remove_orphaned_outputs
from runstream._uplink.tokens import SpoolTokens, notes_in
from runstream._uplink.turns import REST_SECONDS, USUAL_SHARES, Shares, Turns, has_more

LEAVE_SECONDS: Final = 600.0
"""How long. The next uplink tries at once."""
ORPHAN_SECONDS: Final = 24 * 3_600.0
"""How long a file may lie beside no spool."""
MANY: Final = 100
"""Of so many spools each is looked at as often as of one, of more of them more rarely."""
REMOVED_SUFFIXES: Final = (PROGRESS_SUFFIX, EVENTS_SUFFIX, FILES_SUFFIX, STAGED_SUFFIX, ".new", ".unfinished")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """How long an uplink waits for what."""

    linger_seconds: float = 2.0
    """How long the next run of a script is waited for."""

    look_seconds: float = 1.0
    """How often new spools are looked for without a sign of them."""

    retry_seconds: tuple[float, ...] = (1.0, 10.0, 60.0)
    """After a defect or trouble with the disk, before a spool is left alone for a while."""


USUAL_PAUSES: Final = Pauses()


async def carry_group(group: Path, lock: int) -> None:
    """Carries the spools of a group as long as there are any to carry; gives the lock back."""
    uplink = Uplink(group)
    remove_orphans(group)
    remove_orphaned_outputs(group)
    forget_tokens(group.parent, notes_in(group.parent))
    held: int | None = lock
    while held is not None:
        sign(held)
        await uplink.run()
        os.close(held)
        # Whoever logged before the lock was free took this process for alive.
        held = lock_file(group / LOCK_NAME) if uplink.has_work() else None
    await close_connections()


class Uplink:
    """The spools of one group on their ways."""

    def __init__(
        self,
        group: Path,
        *,
        address: str = "",
        is_errand: bool = False,
        skipped: Collection[str] = (),
        pauses: Pauses = USUAL_PAUSES,
        shares: Shares = USUAL_SHARES,
    ) -> None:
        """`address` is where everything goes, instead of where each spool says; what is of a `skipped` run stays.

        An errand ends when all there was is carried up, and waits for nobody who still writes.
        """
        self._group = group
        self._address = address
        self._is_errand = is_errand
        self._skipped = frozenset(skipped)
        self._tokens = SpoolTokens(group, address)
        self._left: dict[Path, float] = {}
        self._carriers: dict[Path, Carrier] = {}
        self._pauses = pauses
        self._turns = Turns(group, shares)
        self._denied_time = 0.0

    async def run(self) -> None:
        """Returns when every spool is carried to its end, or waits for a silent writer, or when the folder is gone."""
        doorbell = Doorbell()
        followers = Followers(doorbell)
        bell = doorbell.bell(self._group)
        tasks: dict[Path, asyncio.Task[None]] = {}
        work_time = time.monotonic()
        try:
            while True:
                bell.arm()
                self._try_denied(tasks)
                waiting = self._waiting(tasks)
                begun = self._turns.begin(waiting, tasks)
                for spool in begun:
                    tasks[spool] = asyncio.create_task(self._carry(spool, doorbell, followers), name=spool.stem)
                    tasks[spool].add_done_callback(lambda _: bell.ring())
                for spool in self._turns.over(len(waiting) - len(begun), self._carriers) + _removed(tasks):
                    tasks[spool].cancel()
                await self._tokens.drop_unused(self._used(followers))
                if tasks:
                    work_time = time.monotonic()
                if self._has_rest(tasks, work_time, len(waiting) > len(begun)) or not self._group.is_dir():
                    return
                await bell.wait(self._pauses.look_seconds)
                tasks = {spool: task for spool, task in tasks.items() if not task.done()}
        finally:
            await end_tasks(*tasks.values())
            await followers.close()
            doorbell.close()

    def has_work(self) -> bool:
        """Whether there is a spool with something that was not carried."""
        return any(has_more(spool) for spool in self._waiting({}))

    def _waiting(self, tasks: "dict[Path, asyncio.Task[None]]") -> list[Path]:
        now = time.monotonic()
        known = tasks.keys() | {spool for spool, until in self._left.items() if now < until}
        return self._turns.waiting(known)

    def _used(self, followers: Followers) -> set[Credential]:
        return {carrier.credential for carrier in self._carriers.values()} | followers.credentials

    def _try_denied(self, tasks: "dict[Path, asyncio.Task[None]]") -> None:
        """Has what was stopped for its token tried again, now and then, if there is another one."""
        if time.monotonic() >= self._denied_time:
            self._tokens.go_on(tasks.keys())
            self._denied_time = time.monotonic() + self._pauses.look_seconds * (1 + len(tasks) // MANY)

    def _has_rest(self, tasks: "dict[Path, asyncio.Task[None]]", work_time: float, is_crowded: bool) -> bool:
        if self._is_errand:
            return not is_crowded and all(map(self._is_settled, tasks))
        if not tasks:
            is_over = time.monotonic() - work_time > self._pauses.linger_seconds
            return is_over and not any(map(is_live, self._tokens.denied()))
        return all(spool in self._carriers and self._carriers[spool].is_idle for spool in tasks)

    def _is_settled(self, spool: Path) -> bool:
        return spool in self._carriers and self._carriers[spool].rests(REST_SECONDS) and is_live(spool)

    async def _carry(self, spool: Path, doorbell: Doorbell, followers: Followers) -> None:
        """Carries a spool and removes it; where that keeps failing, leaves it alone for a while."""
        for pause in self._pauses.retry_seconds:
            try:
                if self._skipped and read_header(spool).run in self._skipped:
                    self._left[spool] = math.inf
                    return
                credential = self._tokens.credential_of(spool)
                self._carriers[spool] = Carrier(spool, doorbell, followers, self._address, credential)
                if await self._carriers[spool].run():
                    remove_spool(spool)
                return
            except SpoolDamaged as damaged:
                _logger.error("%s stays where it is: %s", spool, damaged)
                self._left[spool] = math.inf
                return
            except FileNotFoundError:
                return
            except Exception:
                _logger.exception("%s cannot be carried", spool)
                await asyncio.sleep(pause)
            finally:
                self._carriers.pop(spool, None)
                self._turns.end(spool)
        self._left[spool] = time.monotonic() + LEAVE_SECONDS


def remove_spool(spool: Path) -> None:
    """Removes a spool that was carried to its end. What was refused of it stays for a while, for its writer to read."""
    events = events_of(spool)
    news = [event for event in EventReader(events).read() if not isinstance(event, Warned)]
    spool.unlink(missing_ok=True)
    shutil.rmtree(files_of(spool), ignore_errors=True)
    progress_of(spool).unlink(missing_ok=True)
    if not news:
        events.unlink(missing_ok=True)


def remove_orphans(group: Path) -> None:
    """Removes old files that belong to no spool."""
    limit = time.time() - ORPHAN_SECONDS
    for path in group.iterdir():
        is_candidate = path.suffix in REMOVED_SUFFIXES and not path.with_suffix(SPOOL_SUFFIX).exists()
        with contextlib.suppress(FileNotFoundError):
            if is_candidate and path.stat().st_mtime < limit:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _removed(spools: Collection[Path]) -> list[Path]:
    """Those that somebody removed: nobody wants them."""
    return [spool for spool in spools if not spool.exists()]
