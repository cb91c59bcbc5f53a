"""A machine that was switched off while its agent executed runs."""

import signal

from runstream.core import Experiment, Workspace
from tests.job_sites import Site, agent, await_log, make_pool, script

STANDING = "import signal\nprint('began', flush=True)\nsignal.pause()\n"


def test_the_next_agent_ends_what_was_left_on_its_machine(site: Site, ws: Workspace, exp: Experiment) -> None:
    pool = make_pool(ws)
    run = exp.submit(script(STANDING, target=pool))
    with agent(site, ws, pool, "--name", "a") as first:
        await_log(run, "began")
        for process in site.processes(run.id):
            process.send_signal(signal.SIGKILL)
        first.end(signal.SIGKILL)

    with agent(site, ws, pool, "--name", "a") as second:
        details = run.wait_for_completion(raise_on_error=False)
        second.wait_said(f"runner of {run._record.name} found")

    assert (details["status"], details["error"]["error"]["code"]) == ("Failed", "RunnerDied")
    assert not site.processes(run.id)
