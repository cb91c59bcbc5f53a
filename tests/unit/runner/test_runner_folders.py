"""Which folder is that of which run."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from runstream._channel.threads import in_thread, to_its_end
from runstream._runner.clean import remove_working_copies
from runstream._runner.folder import JobFolder, Progress
from runstream._runner.job import JobToRun
from runstream._spool.lock import lock_file


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSTREAM_JOBS_DIR", str(tmp_path / "jobs"))
    monkeypatch.setenv("RUNSTREAM_SPOOL_DIR", str(tmp_path / "state" / "spool"))


def folder_of(run_id: str) -> JobFolder:
    folder = JobFolder.of(JobToRun(f"workspaces/w/runs/{run_id}", "host:1", "holder"))
    folder.work.mkdir(parents=True)
    return folder


def test_to_clean_a_run_leaves_those_alone_whose_ids_begin_alike() -> None:
    experiment = "x" * 100
    first, second = folder_of(f"{experiment}_1"), folder_of(f"{experiment}_2")

    remove_working_copies(f"{experiment}_1")

    assert not first.path.exists()
    assert second.work.exists()


def test_a_folder_that_a_runner_has_is_not_removed() -> None:
    folder = folder_of("run")
    lock = lock_file(folder.path / "lock")
    assert lock is not None

    remove_working_copies("run")
    assert folder.work.exists()

    os.close(lock)
    remove_working_copies("run")
    assert not folder.path.exists()


async def test_nothing_is_written_any_more_when_a_cancel_is_over() -> None:
    begun, released = threading.Event(), threading.Event()
    written: list[bool] = []

    def write() -> None:
        begun.set()
        written.append(released.wait(60))

    writing = asyncio.create_task(to_its_end(in_thread(write)))
    await in_thread(begun.wait)
    writing.cancel()
    asyncio.get_running_loop().call_soon(released.set)

    with pytest.raises(asyncio.CancelledError):
        await writing
    assert written == [True]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ending": null, "job": null, "of_a_later_version": 1}'])
def test_what_another_version_wrote_down_is_as_nothing(text: str) -> None:
    folder = folder_of("run")
    (folder.path / "job.json").write_text(text)

    assert folder.read() == Progress()
