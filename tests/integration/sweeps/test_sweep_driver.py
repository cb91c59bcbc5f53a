"""A driver of a sweep, whose runs wait in a queue until the test ends them."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runstream import aio
from runstream._channel.connection import close_connections
from runstream.core._job.definition import JobPlan
from runstream.train.hyperdrive import GridParameterSampling, NoTerminationPolicy, PrimaryMetricGoal, choice
from runstream.train.hyperdrive._driver import Driver
from runstream.train.hyperdrive._proposals import Trial
from runstream.train.hyperdrive._sweep import Sweep
from runstream_server import app
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests.append_clients import doubles, metrics_stream
from tests.conditions import until
from tests.connected_agents import make_pool
from tests.make_runs import WORKSPACE, make_run
from tests.submitted import SCRIPT, make_submitter

BEGIN = datetime.now(UTC)

SWEEP = Sweep(
    sampling=GridParameterSampling({"x": choice(5, 6)}),
    policy=NoTerminationPolicy(),
    metric="score",
    goal=PrimaryMetricGoal.MAXIMIZE,
    max_total_runs=2,
    max_concurrent_runs=1,
    seed=0,
    plan=JobPlan(definition=SCRIPT, target="pool", source_directory=None, max_run_duration_seconds=None),
    properties={},
)


async def test_a_run_that_has_ended_makes_room_while_late_values_of_it_are_waited_for(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNSTREAM_STATE_DIR", str(tmp_path))
    async with app.serve(config, now=lambda: BEGIN) as server, open_channel(server.address) as channel:
        await make_run(channel, "sweep")
        submitter = await make_submitter(channel)
        await make_pool(channel)
        monkeypatch.setenv("RUNSTREAM_ADDRESS", server.address)
        parent = await aio.Run.get(await aio.Workspace.get("space"), "sweep")
        driver = Driver(SWEEP, parent._workspace, parent._record, asyncio.Event())
        driving = asyncio.create_task(driver.drive())
        await until(lambda: len(driver._trials) == 1)

        first = f"{WORKSPACE}/runs/sweep_0"
        async with metrics_stream(channel, first) as stream:
            await stream.send(1, doubles("score", [3.0, 4.0]))
            await stream.acknowledged(1)
        await submitter.cancel(first)
        await until(lambda: len(driver._trials) == 2)

        assert driver._trials.tried[0] == Trial({"x": 0}, 4.0, has_ended=True)
        assert not next(iter(driver._trials)).is_read
        values = json.loads((await submitter.run(f"{WORKSPACE}/runs/sweep_1")).properties["runstream.sweep.numbers"])
        assert values == {"x": 1}
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
        await close_connections()
