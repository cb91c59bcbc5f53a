"""Leads in places where no other process does: one controller for each."""

import asyncio
import logging
import uuid
from contextlib import suppress
from datetime import timedelta
from time import monotonic

from runstream_server.jobs.kubernetes.clusters import Clusters
from runstream_server.jobs.kubernetes.controller import LOOK_SECONDS, Controller, Office
from runstream_server.jobs.model import Place
from runstream_server.jobs.rules.starting import HINT_TOPIC
from runstream_server.jobs.store.assignments import LeadStore
from runstream_server.postgres import Hints

logger = logging.getLogger(__name__)

_IDLE_SECONDS = 60.0
_RENEWALS = 3
_SHORTEST_SECONDS = 0.1


class Leader:
    """Leads where there is something to do."""

    def __init__(
        self,
        office: Office,
        leads: LeadStore,
        clusters: Clusters,
        hints: Hints,
        duration: timedelta,
    ) -> None:
        """`duration`: how long a process leads without saying so again."""
        self._office = office
        self._leads = leads
        self._clusters = clusters
        self._hints = hints
        self._duration = duration
        self._holder = uuid.uuid4()
        self._led: dict[Place, Controller] = {}

    async def run(self) -> None:
        """Leads until cancelled."""
        installation = ""
        with self._hints.subscribe(HINT_TOPIC, None) as hinted:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    try:
                        installation = installation or await self._office.assignments.installation()
                        await self._look(tasks, installation)
                    except Exception as error:  # noqa: BLE001 - whatever it is, the next look may do better
                        logger.warning("clusters not looked at", extra={"error": repr(error)})
                    await asyncio.sleep(_SHORTEST_SECONDS)
                    await hinted.wait(min(LOOK_SECONDS, self._duration.total_seconds() / 2))

    async def _look(self, tasks: asyncio.TaskGroup, installation: str) -> None:
        for controller in self._led.values():
            controller.wake()
        for place in await self._office.assignments.places_to_lead():
            if place in self._led or place.cluster not in self._clusters:
                continue
            epoch = await self._leads.take(place, self._holder, self._duration)
            if epoch is not None:
                cluster = self._clusters.get(place.cluster)
                controller = Controller(self._office, cluster, place, installation, epoch)
                self._led[place] = controller
                tasks.create_task(self._lead(place, controller, epoch), name=f"jobs-lead-{place}")

    async def _lead(self, place: Place, controller: Controller, epoch: int) -> None:
        """Leads in a place until there is nothing to do, or another process does."""
        logger.info("leading", extra={"place": str(place), "epoch": epoch})
        works = {asyncio.create_task(controller.run()), asyncio.create_task(self._keep(place, controller, epoch))}
        try:
            done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for work in done:
                if error := work.exception():
                    logger.warning("controller failed", extra={"place": str(place), "error": repr(error)})
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            del self._led[place]
            with suppress(Exception):
                await self._leads.keep(place, epoch, timedelta(0))
            logger.info("leading no more", extra={"place": str(place), "epoch": epoch})

    async def _keep(self, place: Place, controller: Controller, epoch: int) -> None:
        """Renews the lead until it is lost, or not needed."""
        renewed_time = monotonic()
        while monotonic() - renewed_time < self._duration.total_seconds():
            await asyncio.sleep(self._duration.total_seconds() / _RENEWALS)
            if controller.idle_since is not None and monotonic() - controller.idle_since > _IDLE_SECONDS:
                return
            with suppress(Exception):
                asked_time = monotonic()
                if not await self._leads.keep(place, epoch, self._duration):
                    return
                renewed_time = asked_time
