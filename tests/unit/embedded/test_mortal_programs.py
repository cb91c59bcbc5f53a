"""Programs that tests start, and tests that are killed."""

import asyncio
import signal
import sys
from pathlib import Path

from tests.conditions import ended

ROOT = Path(__file__).parents[3]
PARENT = """
import subprocess, sys, threading
from tests.mortal import mortal
child = subprocess.Popen(mortal(sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"))
print(child.pid, flush=True)
threading.Event().wait()
"""


async def test_a_program_ends_with_the_test_that_started_it() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    said = {(await parent.stdout.readline()).strip() for _ in range(2)}

    parent.send_signal(signal.SIGKILL)
    await parent.wait()

    (pid,) = said - {b"up"}
    await ended(int(pid))
