"""Files that belong to the uplink become logs, and are given back and removed while they do."""

import asyncio
import fcntl
import os
from pathlib import Path

from runstream._spool import RunSpool
from runstream.api.logs.v1.log_service_pb2 import ListLogsRequest, LogFile
from tests import stubs
from tests.conftest import Backend
from tests.spools import Spools, log_text, until

FLUSH_SECONDS = 30.0
LOG = "user_logs/std_log.txt"


class Output:
    """A file that a process prints to, and has locked meanwhile."""

    def __init__(self, spool: RunSpool, name: str = "std_log.txt") -> None:
        self.path = spool.make_output_folder() / name
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def write(self, data: bytes) -> None:
        """Appends bytes."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    @property
    def disk_bytes(self) -> int:
        """How much room it takes."""
        return os.fstat(self._file).st_blocks * 512

    def close(self) -> None:
        """Prints nothing more."""
        os.close(self._file)


async def logs_of(backend: Backend, run: str) -> dict[str, LogFile]:
    response = await stubs.logs(backend.channel).ListLogs(ListLogsRequest(parent=run))
    return {log.path: log for log in response.logs}


async def test_an_output_is_carried_to_its_end_after_its_spool_and_removed(
    backend: Backend, run: str, spools: Spools
) -> None:
    spool = spools.open(run, backend.address)
    output = Output(spool)
    spool.follow_output(output.path)
    output.write(b"one\n")
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    spool.finish()  # as when the process was killed, and what it had printed is still on its way
    output.write(b"two\n")
    async with asyncio.timeout(FLUSH_SECONDS):
        while (log := (await logs_of(backend, run))[LOG]).size_bytes < 8:
            pass
    assert not log.finished
    assert spools.left()

    output.close()
    await spools.carried()
    assert (await logs_of(backend, run))[LOG].finished
    assert await log_text(backend.channel, run, LOG) == b"one\ntwo\n"
    await until(lambda: not output.path.parent.exists())


async def test_what_is_stored_is_given_back_to_the_disk(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    output = Output(spool)
    spool.follow_output(output.path)
    text = os.urandom(20 * 1024 * 1024)
    output.write(text)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    await until(lambda: output.disk_bytes < 8 * 1024 * 1024)

    await spools.kill_uplink()
    output.write(b"after")
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    assert await log_text(backend.channel, run, LOG) == text + b"after"
    output.close()


async def test_files_that_come_into_the_folder_are_carried_too(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    first, second = Output(spool), Output(spool, "std_log_process_01.txt")
    spool.follow_output(first.path)
    second.write(b"forked\n")
    first.close()
    second.close()
    spool.finish()
    await spools.carried()

    logs = await logs_of(backend, run)
    assert sorted(logs) == [LOG, "user_logs/std_log_process_01.txt"]
    assert await log_text(backend.channel, run, "user_logs/std_log_process_01.txt") == b"forked\n"
    await until(lambda: not first.path.parent.exists())


async def test_outputs_of_two_processes_have_different_names_whichever_uplink_carries_them(
    backend: Backend, run: str, spools: Spools
) -> None:
    texts = [b"one\n", b"two\n"]
    for text in texts:
        spool = spools.open(run, backend.address)
        output = Output(spool)
        spool.follow_output(output.path)
        output.write(text)
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
        await spools.kill_uplink()
        output.write(text)
        output.close()
        spool.finish()
        await spools.uplink()
        await spools.carried()

    names = [LOG, "user_logs/std_log_process_01.txt"]
    assert sorted(await logs_of(backend, run)) == names
    assert [await log_text(backend.channel, run, name) for name in names] == [2 * text for text in texts]


async def test_a_folder_that_was_moved_is_carried_from_where_it_is(
    backend: Backend, run: str, spools: Spools, tmp_path: Path
) -> None:
    spool = spools.open(run, "offline")
    output = Output(spool)
    spool.follow_output(output.path)
    output.write(b"offline\n")
    output.close()
    spool.finish()
    moved = tmp_path / "moved"
    output.path.parent.parent.rename(moved)

    from runstream._uplink.process import Uplink

    await Uplink(moved, address=backend.address, is_errand=True).run()
    assert await log_text(backend.channel, run, LOG) == b"offline\n"
    assert not list(moved.glob("*.output"))
