"""Runners and guards that are killed."""

import os
from pathlib import Path

import psutil

from runstream.api.jobs.v1 import environment_pb2, job_pb2
from tests.conditions import until_answered
from tests.runners import Gate, Jobs, S, gone, kill

WAITING = """
import signal, subprocess, sys
open("outputs/a", "w").write("a")
print("begun")
subprocess.Popen([sys.executable, "-uc", "import signal; print('child'); signal.pause()"], start_new_session=True)
signal.pause()
"""


async def test_a_killed_runner_leaves_no_process_and_no_open_run(jobs: Jobs) -> None:
    runner = await jobs.start(await jobs.submit(WAITING))
    await jobs.printed(runner.run, "child\n")
    processes = runner.processes()
    assert len(processes) == 3

    kill(runner.pid)

    assert await runner.ended() == 10
    await gone(processes)
    run = await jobs.run(runner.run)
    assert (run.status, run.error.code) == (S.RUN_STATUS_FAILED, "RunnerDied")
    assert "outputs/a" in await jobs.files(runner.run)
    assert await jobs.log(runner.run) == "begun\nchild\n"


async def test_a_runner_goes_on_when_its_guard_is_killed(jobs: Jobs, gate: Gate) -> None:
    runner = await jobs.start(await jobs.submit(f"print('begun')\nopen({gate.path!r}).read()\nprint('done')"))
    await jobs.printed(runner.run, "begun\n")
    below = psutil.Process(runner.pid)

    runner.process.kill()
    await runner.ended()
    gate.open()

    await gone([below])
    assert (await jobs.run(runner.run)).status == S.RUN_STATUS_COMPLETED
    assert await jobs.log(runner.run) == "begun\ndone\n"


async def test_a_script_dies_with_its_guard_and_its_runner(jobs: Jobs) -> None:
    runner = await jobs.start(await jobs.submit("import signal\nprint('begun')\nsignal.pause()"))
    await jobs.printed(runner.run, "begun\n")

    processes = await runner.kill_all()

    await gone(processes)


async def test_a_job_whose_guard_and_runner_were_killed_is_ended_by_the_next_runner(jobs: Jobs) -> None:
    runner = await jobs.start(await jobs.submit(WAITING))
    await jobs.printed(runner.run, "child\n")
    processes = await runner.kill_all()

    await jobs.execute("print('another')")

    await gone(processes)
    await until_answered(lambda: has_failed(jobs, runner.run))


async def test_a_killed_runner_leaves_no_container(jobs: Jobs, tmp_path: Path) -> None:
    said = tmp_path / "said"
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(f'#!/bin/sh\necho "$@" >> {said}\n[ "$1" = rm ] || {{ echo begun; exec sleep 1000; }}\n')
    engine.chmod(0o755)
    container = job_pb2.ContainerOptions(use_container=True)
    run = await jobs.submit("", container=container, environment=in_image("image:1"))
    runner = await jobs.start(run, PATH=f"{engine.parent}:{os.environ['PATH']}")
    await jobs.printed(run, "begun\n")

    kill(runner.pid)

    assert await runner.ended() == 10
    started, removed = said.read_text().splitlines()
    assert removed == f"rm --force {started.split('--name ')[1].split()[0]}"


def in_image(reference: str) -> environment_pb2.Environment:
    image = environment_pb2.ImageDefinition(reference=reference)
    return environment_pb2.Environment(definition=environment_pb2.EnvironmentDefinition(image=image))


async def has_failed(jobs: Jobs, run: str) -> bool:
    return (await jobs.run(run)).error.code == "RunnerDied"
