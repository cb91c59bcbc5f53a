"""Runs that end while the services are away."""

import json
import os
from pathlib import Path

from tests.conditions import until
from tests.fault_proxy import fault_proxy
from tests.runners import Gate, Jobs, S, kill


def has_ended(run: str) -> bool:
    """Whether the runner of a run wrote down how it ended."""
    run_id = run.rpartition("/")[2]
    known = list(Path(os.environ["RUNSTREAM_JOBS_DIR"]).glob(f"{run_id}-*/job.json"))
    return bool(known) and json.loads(known[0].read_text())["ending"] is not None


async def test_an_end_is_reported_when_the_services_are_back_also_by_another_runner(jobs: Jobs, gate: Gate) -> None:
    script = f"print('begun')\nopen({gate.path!r}).read()\nopen('outputs/a', 'w').write('a')\n"
    async with fault_proxy([jobs.address], lambda: None) as proxy:
        runner = await jobs.start(await jobs.submit(script), address=proxy.address)
        await jobs.printed(runner.run, "begun\n")
        proxy.hold()
        gate.open()
        await until(lambda: has_ended(runner.run))
        kill(runner.pid)
        proxy.release()
        assert await runner.ended() == 0

    assert (await jobs.run(runner.run)).status == S.RUN_STATUS_COMPLETED
    assert "outputs/a" in await jobs.files(runner.run)
