"""Decides which spools of a group are carried now: neither their number nor that of open files grows without bound."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from runstream._spool.format import SpoolDamaged
from runstream._spool.lock import is_live
from runstream._spool.places import SPOOL_SUFFIX, progress_of, spools_in
from runstream._spool.progress import read_progress
from runstream._spool.reader import read_header

REST_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How much of an uplink spools have."""

    left_at_once: int = 16
    """Spools without a writer that are carried at the same time."""

    live_at_once: int = 1_024
    """Spools with a writer that are carried at the same time. Where there are more, they take turns."""

    turn_seconds: float = 10.0
    """How long a spool is carried at least, before it makes way for another although it does not rest."""

    rest_seconds: float = REST_SECONDS
    """How long a writer is silent before its spool makes way."""


USUAL_SHARES: Final = Shares()


class Carried(Protocol):
    """A spool on its way."""

    @property
    def serves(self) -> bool:
        """Whether it has files to follow. New ones in a folder are not found meanwhile if it makes way."""

    @property
    def is_stuck(self) -> bool:
        """Whether it does nothing but to wait for services that are away."""

    def rests(self, seconds: float) -> bool:
        """Whether there was nothing to do for some seconds."""


class Turns:
    """The turns of the spools of one group."""

    def __init__(self, group: Path, shares: Shares = USUAL_SHARES) -> None:
        self._group = group
        self._shares = shares
        self._begun: dict[Path, tuple[float, bool]] = {}
        self._ended: dict[Path, float] = {}
        self._after: dict[Path, Path | None] = {}

    def waiting(self, known: Collection[Path]) -> list[Path]:
        """The spools that have something to be carried, but for those that are `known`."""
        spools = spools_in(self._group)
        self._forget(spools, known)
        return [spool for spool in spools if spool not in known and self._is_ready(spool)]

    def begin(self, waiting: list[Path], running: Collection[Path]) -> list[Path]:
        """Chooses whose turn begins, and notes it."""
        lives = {spool: is_live(spool) for spool in waiting}
        taken = [self._begun[spool][1] for spool in running]
        live_count = sum(taken)
        left_count = len(taken) - live_count
        room = {True: self._shares.live_at_once - live_count, False: self._shares.left_at_once - left_count}
        chosen: list[Path] = []
        for spool in sorted(waiting, key=lambda spool: self._ended.get(spool, 0.0)):
            if room[lives[spool]] > 0:
                room[lives[spool]] -= 1
                chosen.append(spool)
                self._begun[spool] = time.monotonic(), lives[spool]
        return chosen

    def end(self, spool: Path) -> None:
        """Notes that a turn is over."""
        self._ended[spool] = time.monotonic()

    def over(self, count: int, carried: Mapping[Path, Carried]) -> list[Path]:
        """Up to `count` spools that make way for others: the longest carried first."""
        now = time.monotonic()
        ready = [spool for spool, one in carried.items() if self._can_make_way(spool, one, now)]
        return sorted(ready, key=lambda spool: (carried[spool].serves, self._begun[spool]))[:count]

    def _can_make_way(self, spool: Path, carried: Carried, now: float) -> bool:
        since, was_live = self._begun[spool]
        if was_live and carried.rests(self._shares.rest_seconds):
            return True
        return now - since > self._shares.turn_seconds and (was_live or carried.is_stuck)

    def _is_ready(self, spool: Path) -> bool:
        progress = read_progress(progress_of(spool))
        if progress is not None and progress.stopped:
            return False
        if spool in self._ended and not has_more(spool) and is_live(spool):
            return False
        return not self._is_held_up(spool)

    def _is_held_up(self, spool: Path) -> bool:
        """Whether the spool that the same process wrote before this one comes first: no value overtakes another."""
        if spool not in self._after:
            self._after[spool] = earlier_spool(spool)
        before = self._after[spool]
        if before is None or not is_awaited(before):
            return False
        return has_more(before) or is_live(before) or not (has_more(spool) or is_live(spool))

    def _forget(self, spools: list[Path], known: Collection[Path]) -> None:
        there = {*spools, *known}
        for noted in (self._ended, self._after, self._begun):
            for spool in noted.keys() - there:
                noted.pop(spool)


def has_more(spool: Path) -> bool:
    """Whether a spool has more than is carried up."""
    progress = read_progress(progress_of(spool))
    try:
        return progress is None or spool.stat().st_size > progress.offset
    except FileNotFoundError:
        return False


def earlier_spool(spool: Path) -> Path | None:
    """The spool that the same process wrote before this one; None: there was none, or nobody can tell."""
    try:
        before = read_header(spool).after
    except (OSError, SpoolDamaged):
        return None
    return spool.with_name(f"{before}{SPOOL_SUFFIX}") if before else None


def is_awaited(spool: Path) -> bool:
    """Whether a spool is there and can be carried to its end."""
    progress = read_progress(progress_of(spool))
    return spool.exists() and (progress is None or not progress.stopped) and _is_readable(spool)


def _is_readable(spool: Path) -> bool:
    try:
        read_header(spool)
    except (OSError, SpoolDamaged):
        return False
    return True
