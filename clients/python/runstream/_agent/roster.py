"""The runners of an agent: started, watched, stopped, and found again."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from runstream._agent.gpus import free_gpus
from runstream._agent.ledger import Held, Ledger
from runstream._agent.processes import (
    ProcessId,
    ended,
    identify,
    is_alive,
    is_session_leader,
    processes_with,
    send_signal,
)
from runstream._runner.start import MODULE
from runstream.api.jobs.v1.agent_pb2 import JobOffer

logger = logging.getLogger("runstream.agent")

Start = Callable[[JobOffer, Sequence[str]], int]
"""Starts a runner for an offer, with these GPUs; returns its process id. It raises OSError when it cannot."""


class Declined(Exception):
    """A job cannot be started here."""


class Roster:
    """The runners of an agent, and what they hold."""

    def __init__(self, ledger: Ledger, start: Start, gpus: Sequence[str]) -> None:
        self._ledger = ledger
        self._start = start
        self._gpus = gpus
        self._held: dict[str, Held] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self.changed = asyncio.Event()
        """Set whenever something else is held; who looks clears it."""

    @property
    def held(self) -> list[Held]:
        """What is held, in ascending order of run."""
        return [self._held[run] for run in sorted(self._held)]

    def adopt(self) -> None:
        """Goes on with the runners that an earlier agent has started and that live."""
        for held in self._ledger.read():
            process = held.process or _find(held)
            if process is not None and is_alive(process):
                logger.info("runner of %s found, process %d", held.run, process.pid)
                self._hold(replace(held, process=process))
            else:
                logger.warning("runner of %s has ended while there was no agent", held.run)
        self._write()

    def take(self, offer: JobOffer) -> None:
        """Starts a runner for an offer; one that has a runner already has it.

        Raises:
            Declined: It cannot be started.
        """
        run, needs = offer.job.run, offer.job.definition.requirements
        present = self._held.get(run)
        if present is not None and present.lease >= offer.lease:
            return
        if present is not None:
            raise Declined("an earlier runner of the job has not ended yet")
        gpus = free_gpus(self._gpus, (gpu for each in self.held for gpu in each.gpus), needs.gpus)
        if gpus is None:
            raise Declined(f"{needs.gpus} GPUs are wanted, and fewer are free")
        self._launch(offer, Held(run, offer.lease, gpus))

    def stop(self, run: str, lease: int) -> None:
        """Has a runner that holds a job by this lease, or an older one, stop what it executes."""
        held = self._held.get(run)
        if held is not None and held.process is not None and held.lease <= lease:
            send_signal(held.process, signal.SIGTERM)

    def stop_all(self) -> None:
        """Has all runners stop what they execute, as for a machine that goes down."""
        for held in self.held:
            if held.process is not None:
                send_signal(held.process, signal.SIGTERM)

    async def empty(self) -> None:
        """Returns when no runner is left."""
        while self._watches:
            await asyncio.wait(self._watches.values())

    async def close(self) -> None:
        """Watches the runners no more; they go on."""
        watches = list(self._watches.values())
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    def _launch(self, offer: JobOffer, held: Held) -> None:
        self._held[held.run] = held
        self._write()
        try:
            pid = self._start(offer, held.gpus)
        except OSError as error:
            self._drop(held.run)
            raise Declined(f"the runner cannot be started: {error}") from error
        logger.info("runner of %s started, process %d%s", held.run, pid, f", GPUs {held.gpus}" if held.gpus else "")
        process = identify(pid) or ProcessId(pid, "")
        self._hold(replace(held, process=process))
        self._write()

    def _hold(self, held: Held) -> None:
        self._held[held.run] = held
        self._watches[held.run] = asyncio.create_task(self._watch(held), name=f"runner of {held.run}")

    async def _watch(self, held: Held) -> None:
        """Waits for the end of a runner. Of its two processes each goes on without the other."""
        process = held.process
        while process is not None:
            await ended(process)
            process = _find(held)
            if process is not None:
                self._held[held.run] = replace(held, process=process)
                self._write()
        logger.info("runner of %s ended", held.run)
        self._watches.pop(held.run)
        self._drop(held.run)

    def _drop(self, run: str) -> None:
        self._held.pop(run)
        self._write()

    def _write(self) -> None:
        self._ledger.write(self.held)
        self.changed.set()


def _find(held: Held) -> ProcessId | None:
    """The runner of a job, or what is left of it, found by its command line."""
    found = processes_with(MODULE, held.run, str(held.lease))
    return min(found, key=lambda process: not is_session_leader(process)) if found else None
