"""Says that the runs of this process are alive."""

import asyncio
import logging
import os
import weakref

from runstream._channel import Connection
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.core._status import TERMINAL, status_name
from runstream.exceptions import AzureMLException, ServiceException

PERIOD_SECONDS = 24.0

logger = logging.getLogger("runstream")


class Heartbeats:
    """Sends heartbeats of the runs that are open in this process, from one task per event loop.

    A forked child has none: its parent still sends them.
    """

    def __init__(self, period_seconds: float = PERIOD_SECONDS) -> None:
        self._period_seconds = period_seconds
        self._open: dict[str, str] = {}
        self._tasks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = (
            weakref.WeakKeyDictionary()
        )

    def start(self, run: str, address: str) -> None:
        """Sends heartbeats of `run` (its resource name) from the running event loop until `stop`."""
        self._open[run] = address
        task = self._tasks.get(loop := asyncio.get_running_loop())
        if task is None or task.done():
            self._tasks[loop] = loop.create_task(self._beat(), name="runstream-heartbeat")

    def stop(self, run: str) -> None:
        """Sends no more heartbeats of `run`."""
        self._open.pop(run, None)

    def forget(self) -> None:
        """Sends nothing more at all."""
        self._open.clear()
        self._tasks.clear()

    async def _beat(self) -> None:
        while self._open:
            await asyncio.sleep(self._period_seconds)
            runs = list(self._open.items())
            outcomes = await asyncio.gather(*(self._send(*each) for each in runs), return_exceptions=True)
            for (run, _), outcome in zip(runs, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    logger.warning("The heartbeat of %s was not sent", run, exc_info=outcome)

    async def _send(self, run: str, address: str) -> None:
        connection = Connection.to(address)
        try:
            response = await connection.call(connection.runs.Heartbeat, api.HeartbeatRequest(name=run))
        except ServiceException as error:
            if error.status_code == 404:
                self.stop(run)
        except AzureMLException:
            return  # the next one may get through
        else:
            if status_name(response.status) in TERMINAL:
                self.stop(run)


HEARTBEATS = Heartbeats()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=HEARTBEATS.forget)
