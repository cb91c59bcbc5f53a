"""Runs that agents execute, with real agents and real runners."""

import json
import signal
import subprocess

from runstream.core import Experiment, Run, Workspace
from tests.barriers import WAIT_AT, Barrier
from tests.conditions import wait_until
from tests.job_sites import RUNSTREAM, SECONDS, Site, agent, await_log, make_pool, script

WAITING = f"""
import os
print("began", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
{WAIT_AT}"""
CHILDREN = 8


def ask(site: Site, *arguments: str) -> str:
    """What a command prints."""
    command = [RUNSTREAM, *arguments]
    done = subprocess.run(command, env=site.environment, capture_output=True, text=True, timeout=SECONDS, check=True)
    return done.stdout


def test_an_agent_executes_many_children_of_one_parent(site: Site, ws: Workspace, exp: Experiment) -> None:
    pool = make_pool(ws)
    config = script("import sys\nprint('child', sys.argv[1])", target=pool)
    parent = exp.start_logging(snapshot_directory=None)
    with agent(site, ws, pool, "--slots", "4"):
        children = []
        for number in range(CHILDREN):
            config.arguments = [number]
            children.append(parent.submit_child(config))
        statuses = [child.wait_for_completion()["status"] for child in children]
    parent.complete()

    assert statuses == ["Completed"] * CHILDREN
    assert {run.id for run in parent.get_children()} == {child.id for child in children}


def test_runs_survive_the_kill_of_their_agent_and_belong_to_the_next_one(
    site: Site, ws: Workspace, exp: Experiment, barrier: Barrier
) -> None:
    pool = make_pool(ws)
    run = exp.submit(script(WAITING, barrier.path, target=pool))
    with agent(site, ws, pool, "--name", "a") as first:
        await_log(run, "began")
        first.end(signal.SIGKILL)
    with agent(site, ws, pool, "--name", "a") as second:
        second.wait_said(f"runner of {run._record.name} found")
        [listed] = json.loads(ask(site, "agent", "list", "-w", ws.name, "--target", pool, "-o", "json"))
        barrier.lift()
        status = run.wait_for_completion()["status"]
        second.wait_said(f"runner of {run._record.name} ended")

    assert status == "Completed"
    assert (listed["name"], listed["connected"], listed["runs"]) == ("a", True, [run.id])


def test_a_draining_agent_ends_when_its_jobs_have_ended(
    site: Site, ws: Workspace, exp: Experiment, barrier: Barrier
) -> None:
    pool = make_pool(ws)
    with agent(site, ws, pool, "--name", "a") as draining:
        run = exp.submit(script(WAITING, barrier.path, target=pool))
        await_log(run, "began")
        ask(site, "agent", "drain", "-w", ws.name, "--target", pool, "--name", "a")
        draining.wait_said("taking no more jobs")
        waiting = exp.submit(script("pass", target=pool, name="other.py"))
        barrier.lift()
        status = run.wait_for_completion()["status"]
        code = draining.process.wait(SECONDS)
        waited = waiting.get_detailed_status()
    waiting.cancel()
    cancelled = waiting.wait_for_completion(wait_post_processing=True)["status"]

    assert (status, code) == ("Completed", 0)
    assert waited["status"] == "Queued"
    assert cancelled == "Canceled"


def test_a_second_signal_stops_the_jobs_of_an_agent(
    site: Site, ws: Workspace, exp: Experiment, barrier: Barrier
) -> None:
    pool = make_pool(ws)
    with agent(site, ws, pool) as stopping:
        run = exp.submit(script(WAITING, barrier.path, target=pool))
        await_log(run, "began")
        stopping.process.send_signal(signal.SIGTERM)
        stopping.wait_said("taking no more jobs")
        code = stopping.end(signal.SIGTERM)
    details = run.wait_for_completion(raise_on_error=False)

    assert code == 0
    assert details["status"] == "Failed"
    assert not site.processes(run.id)


def test_each_job_has_gpus_of_its_own(site: Site, ws: Workspace, exp: Experiment, barrier: Barrier) -> None:
    pool = make_pool(ws)
    config = script(WAITING, barrier.path, target=pool)
    config.run_config.requirements.gpus = 1
    with agent(site, ws, pool, "--slots", "4", CUDA_VISIBLE_DEVICES="3,5"):
        runs = [exp.submit(config), exp.submit(config)]
        for run in runs:
            await_log(run, "began")
        third = exp.submit(config)
        barrier.lift()
        for run in [*runs, third]:
            run.wait_for_completion()
    seen = {_first_line(run) for run in runs}

    assert seen == {"began 3", "began 5"}


def test_an_agent_that_nobody_wants_says_why_and_ends(site: Site, ws: Workspace) -> None:
    command = [RUNSTREAM, "agent", "start", "-w", ws.name, "--target", "nowhere"]
    done = subprocess.run(command, env=site.environment, capture_output=True, text=True, timeout=SECONDS, check=False)

    assert done.returncode == 3
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cancelled_run_of_an_agent_ends_with_all_its_processes(
    site: Site, ws: Workspace, exp: Experiment, barrier: Barrier
) -> None:
    pool = make_pool(ws)
    with agent(site, ws, pool):
        run = exp.submit(script(WAITING, barrier.path, target=pool))
        await_log(run, "began")
        run.cancel()
        status = run.wait_for_completion(wait_post_processing=True)["status"]
        wait_until(lambda: not site.processes(run.id))

    assert status == "Canceled"


def _first_line(run: Run) -> str:
    return str(run.get_details_with_logs()["logFiles"]["user_logs/std_log.txt"]).partition("\n")[0]
