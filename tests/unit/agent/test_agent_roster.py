"""What an agent does with offers when its disk is full."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from runstream._agent.ledger import Ledger
from runstream._agent.roster import Roster
from runstream.api.jobs.v1.agent_pb2 import JobOffer
from runstream.api.jobs.v1.job_pb2 import Job

RUN = "workspaces/w/runs/r"
STANDING = "import signal; signal.pause()"


async def test_an_agent_that_cannot_write_down_what_it_holds_goes_on(tmp_path: Path) -> None:
    ledger, started = Ledger(tmp_path / "agent"), []

    def start(offer: JobOffer, gpus: Sequence[str]) -> int:
        started.append(subprocess.Popen([sys.executable, "-c", STANDING]))
        return started[-1].pid

    roster = Roster(ledger, start, ())
    shutil.rmtree(tmp_path / "agent")

    roster.take(JobOffer(job=Job(run=RUN), lease=1))
    held = [each.run for each in roster.held]
    os.kill(started[0].pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        await roster.empty()

    assert held == [RUN]
    assert not roster.held
    started[0].wait()
    ledger.close()
