"""What a runner is told about its run while it executes."""

import asyncio
import enum
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream._runner.causes import failures_of
from runstream._runner.job import JobToRun
from runstream._runner.nodes import this_node
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.exceptions import AzureMLException

T = TypeVar("T")

TERMINAL: Final = frozenset({run_pb2.RUN_STATUS_COMPLETED, run_pb2.RUN_STATUS_FAILED, run_pb2.RUN_STATUS_CANCELED})


class Order(enum.Enum):
    """Why the processes of a job are to end."""

    CANCEL = enum.auto()
    """Somebody asked for it, or the time is over."""
    ENDED = enum.auto()
    """The run has ended already."""
    LOST = enum.auto()
    """The job is not this runner's any more."""
    TERMINATE = enum.auto()
    """The runner itself was asked to end."""
    NODE_FAILED = enum.auto()
    """Another node of the job has failed."""


class Orders:
    """The first order counts, but for a cancel that turns out to be an end."""

    def __init__(self, patience_seconds: float = 0.0) -> None:
        """`patience_seconds` is how long the processes may go on after the run was completed."""
        self._patience_seconds = patience_seconds
        self.order: Order | None = None
        self.message = ""
        self.time_ns = 0
        """When the order was given, since the Unix epoch."""
        self.is_urgent = asyncio.Event()
        """Set when processes are to be killed without being asked first."""
        self.lost = asyncio.Event()
        """Set when the job is not this runner's any more."""
        self.terminated = asyncio.Event()
        """Set when the runner itself was asked to end, whatever was ordered before."""
        self._given = asyncio.Event()

    def give(self, order: Order, message: str = "") -> None:
        """Has the processes end."""
        if self.order is None or order is Order.LOST:
            self.order, self.message, self.time_ns = order, message, time.time_ns()
        if order is Order.LOST:
            self.is_urgent.set()
            self.lost.set()
        self._given.set()

    def hear(self, status: "run_pb2.RunStatus.ValueType", cancel_requested: bool) -> None:
        """Takes note of how the run stands."""
        if status == run_pb2.RUN_STATUS_COMPLETED and self._patience_seconds:
            asyncio.get_running_loop().call_later(self._patience_seconds, self.give, Order.ENDED)
        elif status in TERMINAL:
            self.give(Order.ENDED)
        elif cancel_requested or status == run_pb2.RUN_STATUS_CANCEL_REQUESTED:
            self.give(Order.CANCEL)

    async def unless_given(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of some work; None: there is an order, and the work was cancelled."""
        working = asyncio.create_task(work)
        ordered = asyncio.create_task(self._given.wait())
        try:
            await asyncio.wait({working, ordered}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            for task in (ordered, working):
                task.cancel()
            await asyncio.wait({ordered, working})


async def watch_run(job: JobToRun, connection: Connection, orders: Orders, attempt: int) -> None:
    """Hears of changes of the run until there is nothing more to hear; the node that has the job also of the others."""
    request = api.WatchRunsRequest(parent=job.parent, names=[job.run], include_present=True)
    failures = 0
    while True:
        try:
            async for response in connection.stream(connection.runs.WatchRuns, request):
                request.resume_token, failures = response.resume_token or request.resume_token, 0
                for change in response.changes:
                    _hear(change, orders)
                    if this_node().is_first and failures_of(change.run.properties, attempt):
                        orders.give(Order.NODE_FAILED)
        except AzureMLException as error:
            if error.reason == "INVALID_RESUME_TOKEN":
                request.resume_token = ""
            elif error.reason in ("RUN_NOT_FOUND", "WORKSPACE_NOT_FOUND"):
                return orders.give(Order.LOST, error.message)
        await asyncio.sleep(backoff_seconds(failures))
        failures += 1


@asynccontextmanager
async def hearing_signals(orders: Orders) -> AsyncIterator[None]:
    """Takes SIGTERM for an order while the context is open: the second one is urgent. Others are ignored."""
    loop = asyncio.get_running_loop()

    def terminate() -> None:
        if orders.terminated.is_set():
            orders.is_urgent.set()
        orders.terminated.set()
        orders.give(Order.TERMINATE, "the runner was asked to end by SIGTERM")

    loop.add_signal_handler(signal.SIGTERM, terminate)
    for number in (signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, int)  # not ignored: that would be inherited by the processes of the job
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


def leave_guard(pipe: int) -> None:
    """Takes note of the death of the guard: this process goes on without it."""
    loop = asyncio.get_running_loop()

    def left() -> None:
        loop.remove_reader(pipe)
        os.close(pipe)

    loop.add_reader(pipe, left)


def _hear(change: api.RunChange, orders: Orders) -> None:
    if change.kind == api.RUN_CHANGE_KIND_DELETED:
        orders.give(Order.ENDED)
    else:
        orders.hear(change.run.status, change.run.HasField("cancel_request_time"))
