"""Benchmarks of the REST interface of MLflow."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from runstream_server.rpc import open_channel
from tests.gateways import Gateway, open_gateway
from tests.load.backend import backend
from tests.load.figures import Figure, cost, rate
from tests.load.server_costs import costs_of
from tests.mlflow_runs import metric, start_run

RUNS = 16
SAMPLES = 3
SECONDS = 3.0


async def log_metric(seconds: float = SECONDS) -> AsyncIterator[Figure]:
    """One value per call, of one run and of 16 at once, beside requests that do nothing over the same connections."""
    async with (
        backend() as (up, _),
        open_channel(up.address) as channel,
        open_gateway(channel, "default") as gateway,
    ):
        for name, count in (("one", 1), ("many", RUNS)):
            runs = [await start_run(gateway) for _ in range(count)]
            alive = [_look(gateway) for _ in runs]
            logging = [_log(gateway, run) for run in runs]
            made: list[float] = []
            empty: list[float] = []
            spent: list[float] = []
            spent_empty: list[float] = []
            for _ in range(SAMPLES):
                for calls, rates, costs in ((alive, empty, spent_empty), (logging, made, spent)):
                    done, milliseconds = await _measure(calls, up.pid, seconds)
                    rates.append(done / seconds)
                    costs.append(milliseconds / done)
            limit = "requests that do nothing"
            yield rate(f"mlflow.log_metric.{name}", "calls/s", made, (limit, empty), None)
            yield cost(f"mlflow.log_metric.{name}.cpu", "ms/call", spent, (limit, spent_empty), None)


Call = Callable[[], Awaitable[None]]


async def _measure(calls: Sequence[Call], pid: int, seconds: float) -> tuple[int, float]:
    """How many calls are done, each one after the other, and the milliseconds of the server's processor."""
    end = time.perf_counter() + seconds
    async with costs_of(pid) as costs:
        done = sum(await asyncio.gather(*(_repeat(call, end) for call in calls)))
    return done, costs.cpu_seconds * 1_000


async def _repeat(call: Call, end: float) -> int:
    done = 0
    while time.perf_counter() < end:
        await call()
        done += 1
    return done


def _look(gateway: Gateway) -> Call:
    url = gateway.url.partition("/workspaces")[0] + "/health"

    async def look() -> None:
        async with gateway.session.get(url) as response:
            assert response.status == 200

    return look


def _log(gateway: Gateway, run_id: str) -> Call:
    step = 0

    async def log() -> None:
        nonlocal step
        step += 1
        now = time.time_ns() // 1_000_000
        (await gateway.post("runs/log-metric", run_id=run_id, **metric(value=step, timestamp=now, step=step))).found()

    return log
