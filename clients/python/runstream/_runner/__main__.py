"""`python -m runstream._runner`: executes one submitted run."""

import argparse
import re
import sys
from typing import NoReturn

from runstream._runner.failures import JobFailed
from runstream._runner.guard import guard
from runstream._runner.job import JobToRun, make_holder
from runstream._runner.nodes import this_node
from runstream._runner.waking import wake_uplink

_RUN = re.compile(r"workspaces/[^/]+/runs/[^/]+")


def main() -> NoReturn:
    """Executes the run that the arguments name; the exit code says how it ended."""
    job = _job()

    def run(comes_after: bool, pipe: int) -> int:
        from runstream._runner.runner import execute

        return execute(job, comes_after=comes_after, guard_pipe=pipe)

    wake_uplink(job.address)
    sys.exit(guard(run))


def _job() -> JobToRun:
    parser = argparse.ArgumentParser(prog="python -m runstream._runner", description=__doc__)
    parser.add_argument("--run", type=_run_name, required=True, help="workspaces/{workspace}/runs/{run}")
    parser.add_argument("--address", required=True, help="host:port of the services")
    parser.add_argument("--lease", type=int, default=0, help="the lease of the offer; default: nobody offered the job")
    parser.add_argument("--keep", action="store_true", help="leave the working directory when the run has ended")
    given = parser.parse_args()
    try:
        this_node()
    except JobFailed as failed:
        parser.error(failed.message)
    return JobToRun(given.run, given.address, make_holder(), given.lease, given.keep)


def _run_name(text: str) -> str:
    if not _RUN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not workspaces/{{workspace}}/runs/{{run}}")
    return text


if __name__ == "__main__":
    main()
