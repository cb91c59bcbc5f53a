"""Copies the files that runs have below `logs/` to this machine, until the runs have ended and everything is there."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from runstream._channel.tasks import end_tasks
from runstream.core._lasting import going_on
from runstream.tensorboard._folders import run_folder
from runstream.tensorboard._run_mirror import RunMirror

LOOK_SECONDS: Final = 1.0
"""How often it is looked what is new in a run, where few are followed."""
LOOKS_PER_SECOND: Final = 50
"""In all runs together, at most."""
LOOKS_AT_ONCE: Final = 8
QUIET_SECONDS: Final = 5.0
"""How long nothing must come after the end of a run until it counts as complete, where its writers do not say so."""

_logger = logging.getLogger("runstream")


class Mirror:
    """Copies of the files of several runs. It belongs to one event loop."""

    def __init__(self, runs: Sequence[Any], root: Path, *, use_display_name: bool) -> None:
        """Each run has a folder below `root`, called by its id or its display name."""
        self._runs = runs
        self._root = root
        self._use_display_name = use_display_name
        self._turns = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._going_on = len(runs)

    async def follow(self) -> None:
        """Copies until every run has ended and is copied; what cannot be had is told and tried again."""
        async with asyncio.TaskGroup() as tasks:
            for run in self._runs:
                tasks.create_task(self._follow_lasting(run), name="runstream-mirror")

    async def _follow_lasting(self, run: Any) -> None:
        told = ""

        def tell(problem: str) -> None:
            nonlocal told
            if problem not in ("", told):
                told = problem
                _logger.warning("Run %s is not copied: %s", run.id, problem)

        await going_on(partial(self._follow, run), tell)
        self._going_on -= 1

    async def _follow(self, run: Any) -> None:
        mirror = RunMirror(run, await self._folder(run))
        end = asyncio.create_task(run._await_end(wait_post_processing=True), name="runstream-mirror-end")
        try:
            await self._look_until(end, mirror)
        finally:
            await end_tasks(end)

    async def _folder(self, run: Any) -> Path:
        record = await run._refresh() if run._is_partial else run._record
        wanted = record.display_name if self._use_display_name else ""
        return run_folder(self._root, wanted or run.id, record.name)

    async def _look_until(self, end: "asyncio.Task[Any]", mirror: RunMirror) -> None:
        clock = asyncio.get_running_loop().time
        changed = clock()
        while True:
            if has_ended := end.done():
                end.result()
            async with self._turns:
                is_changed = await mirror.look()
            changed = clock() if is_changed or not has_ended else changed
            if has_ended and (mirror.is_finished or clock() > changed + QUIET_SECONDS):
                return
            await self._pause(end)

    async def _pause(self, end: "asyncio.Task[Any]") -> None:
        """Waits until it is time to look, or the run has just ended."""
        seconds = max(LOOK_SECONDS, self._going_on / LOOKS_PER_SECOND)
        if end.done():
            await asyncio.sleep(seconds)
        else:
            await asyncio.wait({end}, timeout=seconds)
