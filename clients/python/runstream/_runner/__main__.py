"""`python -m runstream._runner`: executes one submitted run."""

import argparse
import re
import sys
from pathlib import Path
from typing import NoReturn

from runstream._channel.address import parse_address
from runstream._runner.failures import JobFailed
from runstream._runner.folder import JobFolder
from runstream._runner.guard import guard
from runstream._runner.job import NOT_OURS, JobToRun, make_holder
from runstream._runner.nodes import this_node
from runstream._runner.recovery import end_processes
from runstream._runner.waking import wake_uplink
from runstream.exceptions import UserErrorException

_RUN = re.compile(r"workspaces/[^/]+/runs/[^/]+")


def main() -> NoReturn:
    """Executes the run that the arguments name; the exit code says how it ended."""
    given = _arguments()
    job = _left_job(given.resume) if given.resume else _new_job(given)

    def run(comes_after: bool, pipe: int) -> int:
        from runstream._runner.runner import execute

        return execute(job, comes_after=comes_after, guard_pipe=pipe)

    wake_uplink(job.address)
    sys.exit(guard(run, is_lost=given.resume is not None))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m runstream._runner", description=__doc__)
    parser.add_argument("--run", type=_run_name, help="workspaces/{workspace}/runs/{run}")
    parser.add_argument("--address", type=_address, help="host:port of the services, grpcs://host:port with TLS")
    parser.add_argument("--lease", type=int, default=0, help="the lease of the offer; default: nobody offered the job")
    parser.add_argument("--keep", action="store_true", help="leave the working directory when the run has ended")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="end the job whose folder somebody left")
    given = parser.parse_args()
    if not given.resume and not (given.run and given.address):
        parser.error("--run and --address are required")
    try:
        this_node()
    except JobFailed as failed:
        parser.error(failed.message)
    return given


def _new_job(given: argparse.Namespace) -> JobToRun:
    job = JobToRun(given.run, given.address, make_holder(), given.lease, given.keep)
    JobFolder.of(job).lock()
    return job


def _left_job(path: Path) -> JobToRun:
    """A job that somebody left, whose processes are ended now; exits where somebody else takes care of it."""
    folder = JobFolder(path)
    job = folder.read().job
    if job is None or not folder.lock():
        sys.exit(NOT_OURS)
    end_processes(folder)
    return job


def _address(text: str) -> str:
    try:
        return parse_address(text)
    except UserErrorException as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _run_name(text: str) -> str:
    if not _RUN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not workspaces/{{workspace}}/runs/{{run}}")
    return text


if __name__ == "__main__":
    main()
