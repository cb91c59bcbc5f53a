"""Runs that are ended from outside."""

import signal

import asyncpg
import psutil

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.config import Config
from tests import stubs
from tests.runners import Gate, Jobs, S, gone

WAITING = "import signal\nprint('waiting')\nsignal.pause()\n"
DEFIANT = """
import signal, subprocess, sys
code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('child'); signal.pause()"
subprocess.Popen([sys.executable, "-uc", code], start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    signal.pause()
"""


async def test_a_cancelled_run_is_asked_to_end(jobs: Jobs) -> None:
    script = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye') or 0))\n"
    runner = await jobs.start(await jobs.submit(f"{script}open('outputs/a', 'w').write('a')\n{WAITING}"))
    await jobs.printed(runner.run, "waiting\n")

    await jobs.submitter.cancel(runner.run)

    assert await runner.ended() == 11
    assert (await jobs.run(runner.run)).status == S.RUN_STATUS_CANCELED
    assert await jobs.log(runner.run) == "waiting\nbye\n"
    assert "outputs/a" in await jobs.files(runner.run)


async def test_a_script_is_asked_to_end_once(jobs: Jobs) -> None:
    script = f"import signal\nsignal.signal(signal.SIGTERM, lambda *_: print('asked'))\n{WAITING}signal.pause()\n"
    runner = await jobs.start(await jobs.submit(script, termination_grace={"nanos": 200_000_000}))
    await jobs.printed(runner.run, "waiting\n")

    await jobs.submitter.cancel(runner.run)

    assert await runner.ended() == 11
    assert await jobs.log(runner.run) == "waiting\nasked\n"


async def test_what_does_not_end_when_asked_is_killed_with_all_below_it(jobs: Jobs) -> None:
    grace = {"nanos": 100_000_000}
    runner = await jobs.start(await jobs.submit(DEFIANT, termination_grace=grace))
    await jobs.printed(runner.run, "child\n")
    processes = runner.processes()
    assert len(processes) == 3

    await jobs.submitter.cancel(runner.run)

    assert await runner.ended() == 11
    await gone(processes)


async def test_a_run_that_somebody_failed_stays_failed(jobs: Jobs) -> None:
    runner = await jobs.start(await jobs.submit(WAITING))
    await jobs.printed(runner.run, "waiting\n")

    error = run_pb2.RunError(code="Mine", message="enough")
    await stubs.run_history(jobs.channel).FailRun(messages.FailRunRequest(name=runner.run, error=error))

    await runner.ended()
    run = await jobs.run(runner.run)
    assert (run.status, run.error.code) == (S.RUN_STATUS_FAILED, "Mine")


async def test_a_run_cancelled_while_it_is_prepared_executes_nothing(jobs: Jobs) -> None:
    run = await jobs.submit(WAITING)
    await jobs.submitter.cancel(run)

    runner = await jobs.start(run)

    assert await runner.ended() == 12
    assert (await jobs.run(run)).status == S.RUN_STATUS_CANCELED
    assert not await jobs.log(run)


async def test_a_runner_that_is_asked_to_end_ends_the_run(jobs: Jobs) -> None:
    runner = await jobs.start(await jobs.submit(WAITING))
    await jobs.printed(runner.run, "waiting\n")

    runner.process.send_signal(signal.SIGTERM)

    assert await runner.ended() == 10
    run = await jobs.run(runner.run)
    assert (run.status, run.error.code) == (S.RUN_STATUS_FAILED, "RunnerTerminated")


async def test_a_job_that_somebody_holds_is_left_alone(jobs: Jobs, gate: Gate) -> None:
    run = await jobs.submit(f"print('waiting')\nopen({gate.path!r}).read()\n")
    first = await jobs.start(run)
    await jobs.printed(run, "waiting\n")

    second = await jobs.start(run)

    assert await second.ended() == 12
    gate.open()
    assert await first.ended() == 0


async def test_nothing_of_a_job_is_left_on_the_machine(jobs: Jobs) -> None:
    daemon = "import subprocess\nprint(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid)\n"

    run = await jobs.execute(daemon)

    assert run.status == S.RUN_STATUS_COMPLETED
    assert not psutil.pid_exists(int(await jobs.log(run.name)))


async def test_a_runner_that_has_lost_its_lease_ends_the_processes_and_reports_nothing(
    jobs: Jobs, services_config: Config
) -> None:
    runner = await jobs.start(await jobs.submit(f"open('outputs/a', 'w').write('a')\n{WAITING}"))
    await jobs.printed(runner.run, "waiting\n")
    await jobs.entered(runner.run, S.RUN_STATUS_RUNNING)
    processes = runner.processes()

    await give_to_another(services_config, runner.run)

    assert await runner.ended() == 12
    await gone(processes)
    assert (await jobs.run(runner.run)).status == S.RUN_STATUS_RUNNING
    assert "outputs/a" not in await jobs.files(runner.run)


async def give_to_another(config: Config, run: str) -> None:
    connection = await asyncpg.connect(config.postgres.dsn)
    try:
        await connection.execute("UPDATE jobs.job SET lease = lease + 1 WHERE run = $1", run.rpartition("/")[2])
    finally:
        await connection.close()
