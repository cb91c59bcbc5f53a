"""Runners that are asked to end when they have results to store."""

import os
import signal
from pathlib import Path

import pytest

from runstream._runner.recovery import resume_lost_jobs
from tests.conditions import ended, until
from tests.fault_proxy import fault_proxy
from tests.integration.runner.test_runner_without_services import has_ended
from tests.runners import Gate, Jobs, S

STORING = "print('begun')\nopen({gate!r}).read()\nopen('outputs/model', 'w').write('weights')\n"
LEFT = 13


def folders_of(run: str) -> list[Path]:
    return list(Path(os.environ["RUNSTREAM_JOBS_DIR"]).glob(f"{run.rpartition('/')[2]}-*"))


async def test_without_the_services_a_runner_says_what_is_missing_and_the_next_one_stores_it(
    jobs: Jobs, gate: Gate, capfd: pytest.CaptureFixture[str]
) -> None:
    async with fault_proxy([jobs.address], lambda: None) as proxy:
        runner = await jobs.start(await jobs.submit(STORING.format(gate=gate.path)), address=proxy.address)
        await jobs.printed(runner.run, "begun\n")
        proxy.hold()
        gate.open()
        await until(lambda: has_ended(runner.run))
        runner.process.send_signal(signal.SIGTERM)

        assert await runner.ended() == LEFT
        said = capfd.readouterr().err
        assert "the services are away" in said
        assert (
            "not stored: the end of the run (COMPLETED), the end of its log files, outputs/ (1 files, 7 bytes)" in said
        )
        proxy.release()
        started = {run: pid for (run, _), pid in resume_lost_jobs().items()}
        await ended(started[runner.run])

    run = await jobs.run(runner.run)
    assert run.status == S.RUN_STATUS_COMPLETED
    assert (await jobs.files(runner.run))["outputs/model"] == b"weights"
    assert not folders_of(runner.run)


async def test_with_the_services_a_runner_stores_everything_first(jobs: Jobs) -> None:
    script = "import signal\nopen('outputs/model', 'w').write('weights')\nprint('waiting')\nsignal.pause()\n"
    runner = await jobs.start(await jobs.submit(script))
    await jobs.printed(runner.run, "waiting\n")

    runner.process.send_signal(signal.SIGTERM)

    assert await runner.ended() == 10
    assert (await jobs.run(runner.run)).error.code == "RunnerTerminated"
    assert "outputs/model" in await jobs.files(runner.run)
