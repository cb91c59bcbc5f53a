"""The runners of an agent: started, watched, stopped, and found again."""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
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


class Roster:
    """The runners of an agent, and what they hold."""

    def __init__(self, ledger: Ledger, start: Start, gpus: Sequence[str]) -> None:
        self._ledger = ledger
        self._start = start
        self._gpus = gpus
        self._held: dict[str, Held] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._waiting: list[JobOffer] = []
        """Offers for GPUs whose runner has told its end, and has not ended yet."""
        self.changed = asyncio.Event()
        """Set whenever something else is held or declined; who looks clears it."""
        self.declined: list[tuple[JobOffer, str]] = []
        """Offers that cannot be taken, and why; who tells of them removes them."""

    @property
    def held(self) -> list[Held]:
        """What is held, in ascending order of run."""
        return [self._held[run] for run in sorted(self._held)]

    def adopt(self, resumed: Mapping[tuple[str, int], int]) -> None:
        """Goes on with the runners that an earlier agent has started and that live.

        `resumed` are the processes of runners, by run and lease, that end what was left of others.
        """
        for held in self._ledger.read():
            process = held.process or _find(held)
            if (pid := resumed.get((held.run, held.lease))) is not None:
                process = identify(pid)
            if process is not None and is_alive(process):
                logger.info("runner of %s found, process %d", held.run, process.pid)
                self._hold(replace(held, process=process))
            else:
                logger.warning("runner of %s has ended while there was no agent", held.run)
        self._write()

    def take(self, offer: JobOffer) -> None:
        """Starts a runner for an offer, as soon as there are GPUs for it, or declines it.

        A job that has a runner already keeps it.
        """
        run, needs = offer.job.run, offer.job.definition.requirements
        present = self._held.get(run)
        if present is not None and present.lease >= offer.lease:
            return None
        if present is not None:
            return self.decline(offer, "an earlier runner of the job has not ended yet")
        if needs.gpus > len(self._gpus):
            return self.decline(offer, f"{needs.gpus} GPUs are wanted, and there are {len(self._gpus)}")
        self._held[run] = Held(run, offer.lease)
        self._waiting.append(offer)
        self._start_waiting()
        return None

    def decline(self, offer: JobOffer, reason: str) -> None:
        """Leaves an offered job to others."""
        logger.warning("job of %s declined: %s", offer.job.run, reason)
        self.declined.append((offer, reason))
        self.changed.set()

    def stop(self, run: str, lease: int) -> None:
        """Has a runner that holds a job by this lease, or an older one, stop what it executes."""
        held = self._held.get(run)
        if held is None or held.lease > lease:
            return
        if held.process is not None:
            send_signal(held.process, signal.SIGTERM)
        else:
            self._waiting = [offer for offer in self._waiting if offer.job.run != run]
            self._drop(run)

    def stop_all(self) -> None:
        """Has all runners stop what they execute, as for a machine that goes down."""
        for offer in self._waiting:
            self._drop(offer.job.run)
        self._waiting = []
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

    def _start_waiting(self) -> None:
        """Starts runners for offers that wait, as far as there are GPUs."""
        waiting, self._waiting = self._waiting, []
        for offer in waiting:
            used = (gpu for each in self.held for gpu in each.gpus)
            gpus = free_gpus(self._gpus, used, offer.job.definition.requirements.gpus)
            if gpus is None:
                self._waiting.append(offer)
            else:
                self._launch(offer, replace(self._held[offer.job.run], gpus=gpus))

    def _launch(self, offer: JobOffer, held: Held) -> None:
        self._held[held.run] = held
        self._write()
        try:
            pid = self._start(offer, held.gpus)
        except OSError as error:
            self._drop(held.run)
            return self.decline(offer, f"the runner cannot be started: {error}")
        logger.info("runner of %s started, process %d%s", held.run, pid, f", GPUs {held.gpus}" if held.gpus else "")
        process = identify(pid) or ProcessId(pid, "")
        self._hold(replace(held, process=process))
        return self._write()

    def _hold(self, held: Held) -> None:
        self._held[held.run] = held
        self._watches[held.run] = asyncio.create_task(self._watch(held), name=f"runner of {held.run}")

    async def _watch(self, held: Held) -> None:
        """Waits for the end of a runner, which is not held then."""
        try:
            await self._ended(held)
        except Exception:
            logger.exception("runner of %s cannot be watched any more", held.run)
        else:
            logger.info("runner of %s ended", held.run)
        self._watches.pop(held.run)
        self._drop(held.run)
        self._start_waiting()

    async def _ended(self, held: Held) -> None:
        """Returns when a runner has ended. Of its two processes each goes on without the other."""
        process = held.process
        while process is not None:
            await ended(process)
            process = _find(held)
            if process is not None:
                self._held[held.run] = replace(held, process=process)
                self._write()

    def _drop(self, run: str) -> None:
        self._held.pop(run)
        self._write()

    def _write(self) -> None:
        try:
            self._ledger.write(self.held)
        except OSError as error:  # a later agent would know less, which is no reason for this one to stop
            logger.warning("what is held cannot be written down: %s", error)
        self.changed.set()


def _find(held: Held) -> ProcessId | None:
    """The runner of a job, or what is left of it, found by its command line."""
    found = processes_with(MODULE, held.run, str(held.lease))
    return min(found, key=lambda process: not is_session_leader(process)) if found else None
