"""Processes that outlive who started them."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from runstream._agent.processes import (
    ProcessId,
    ended,
    identify,
    is_alive,
    is_session_leader,
    processes_with,
    send_signal,
)
from tests.conditions import wait_until

SLEEPING = [sys.executable, "-c", "import signal; signal.pause()", "a-word-of-this-test"]


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does nothing."""
    with subprocess.Popen(SLEEPING, start_new_session=True) as process:
        yield process
        process.kill()


def of(process: "subprocess.Popen[bytes]") -> ProcessId:
    found = identify(process.pid)
    assert found is not None
    return found


async def test_the_end_of_a_process_is_heard_of(sleeper: "subprocess.Popen[bytes]") -> None:
    process = of(sleeper)
    waiting = asyncio.create_task(ended(process))
    send_signal(process, signal.SIGKILL)

    async with asyncio.timeout(30):
        await waiting

    assert not is_alive(process)


async def test_a_process_that_has_ended_is_not_waited_for(sleeper: "subprocess.Popen[bytes]") -> None:
    process = of(sleeper)
    sleeper.kill()
    sleeper.wait()

    async with asyncio.timeout(30):
        await ended(process)


def test_another_process_of_the_same_number_is_not_taken_for_it(sleeper: "subprocess.Popen[bytes]") -> None:
    earlier = ProcessId(sleeper.pid, "of another birth")

    send_signal(earlier, signal.SIGKILL)

    assert not is_alive(earlier)
    assert is_alive(of(sleeper))


def test_a_process_that_has_ended_and_is_not_reaped_is_not_alive(sleeper: "subprocess.Popen[bytes]") -> None:
    process = of(sleeper)
    sleeper.kill()

    wait_until(lambda: not is_alive(process))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_processes_are_found_by_words_of_their_command(sleeper: "subprocess.Popen[bytes]") -> None:
    wait_until(lambda: processes_with("a-word-of-this-test") == [of(sleeper)])

    assert is_session_leader(of(sleeper))
    assert processes_with("a-word-of-this-test", "another one") == []
