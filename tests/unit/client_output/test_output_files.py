"""What the files of printed text are called, and when they are removed."""

import fcntl
import os
import uuid
from pathlib import Path

import pytest

from runstream._spool.inventory import remove
from runstream._spool.outputs import next_numbered, numbered, process_number
from runstream._spool.writer import SpoolWriter
from runstream._uplink.append import Stopped
from runstream._uplink.doorbell import Doorbell
from runstream._uplink.outputs import OutputSource, is_output, remove_orphaned_outputs
from runstream.api.logs.v1.log_service_pb2 import LogAcknowledged, LogOpened
from runstream.core._run.logs import stored_log


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (None, 1)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, (None, 1)),
        ({"RANK": "3", "WORLD_SIZE": "8"}, (3, 8)),
        ({"RANK": "0", "WORLD_SIZE": "2"}, (0, 2)),
        ({"RANK": "3"}, (3, 4)),
        ({"RANK": "x", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (1, 2)),
        ({"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "-1"}, (5, 6)),
    ],
)
def test_the_environment_of_a_job_numbers_its_processes(
    environment: dict[str, str], expected: tuple[int | None, int]
) -> None:
    assert process_number(environment) == expected


def test_files_of_further_processes_are_numbered() -> None:
    assert numbered("std_log.txt", None) == "std_log.txt"
    assert numbered("std_log.txt", 0) == "std_log_process_00.txt"
    assert numbered("a.b.txt", 123) == "a.b_process_123.txt"

    assert next_numbered("std_log.txt") == "std_log_process_01.txt"
    assert next_numbered("std_log_process_00.txt") == "std_log_process_01.txt"
    assert next_numbered("std_log_process_99.txt") == "std_log_process_100.txt"


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("azureml-logs/70_driver_log.txt", "user_logs/std_log.txt"),
        ("azureml-logs/70_driver_log_0.txt", "user_logs/std_log.txt"),
        ("azureml-logs/70_driver_log_7.txt", "user_logs/std_log_process_07.txt"),
        ("azureml-logs/70_driver_log_007.txt", "user_logs/std_log_process_07.txt"),
        ("azureml-logs/70_driver_log_8.txt", "azureml-logs/70_driver_log_8.txt"),
        ("azureml-logs/70_driver_log_9.txt", "azureml-logs/70_driver_log_9.txt"),
        ("user_logs/other.txt", "user_logs/other.txt"),
    ],
)
def test_older_names_stand_for_files_that_are_there(name: str, stored: str) -> None:
    names = ["user_logs/std_log.txt", "user_logs/std_log_process_07.txt", "azureml-logs/70_driver_log_9.txt"]

    assert stored_log(name, names) == stored


def test_of_several_processes_the_number_0_is_the_first() -> None:
    names = ["user_logs/std_log_process_00.txt", "user_logs/std_log_process_01.txt"]

    assert stored_log("azureml-logs/70_driver_log_0.txt", names) == names[0]
    assert stored_log("azureml-logs/70_driver_log.txt", names) == "azureml-logs/70_driver_log.txt"


def output_folder(group: Path, *, old: bool) -> Path:
    """A folder with a file, written long ago or just now."""
    folder = group / f"{uuid.uuid4().hex}.output"
    folder.mkdir()
    file = folder / "std_log.txt"
    file.write_text("text")
    if old:
        os.utime(file, (0, 0))
    assert is_output(file)
    return folder


def test_old_folders_that_nobody_needs_are_removed(tmp_path: Path) -> None:
    old, new, locked = (output_folder(tmp_path, old=age) for age in (True, False, True))
    with (locked / "std_log.txt").open("rb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH)
        remove_orphaned_outputs(tmp_path)

    assert [folder.exists() for folder in (old, new, locked)] == [False, True, True]


def test_no_folder_is_removed_that_a_spool_may_still_need(tmp_path: Path) -> None:
    folder = output_folder(tmp_path, old=True)
    SpoolWriter(tmp_path, "workspaces/w/runs/r", "127.0.0.1:1").finish()
    remove_orphaned_outputs(tmp_path)

    assert folder.exists()


def test_a_folder_is_removed_with_the_last_spool_of_its_process(tmp_path: Path) -> None:
    first = SpoolWriter(tmp_path, "workspaces/w/runs/r", "127.0.0.1:1")
    second = SpoolWriter(tmp_path, "workspaces/w/runs/r", "127.0.0.1:1", first)
    folder = tmp_path / f"{first.first}.output"
    folder.mkdir()
    for writer, is_left in ((first, True), (second, False)):
        writer.finish()
        remove(writer.path)
        assert folder.exists() is is_left


async def test_what_was_given_back_is_not_taken_for_text(tmp_path: Path) -> None:
    folder = output_folder(tmp_path, old=False)
    file = folder / "std_log.txt"
    file.write_bytes(os.urandom(10 * 1024 * 1024))
    doorbell = Doorbell()
    source = OutputSource("run", "user_logs/std_log.txt", file, doorbell.bell(file))
    assert await source.appears()
    source.opened(LogOpened(durable_offset=0, max_batch_bytes=1024))
    source.acknowledged(LogAcknowledged(durable_offset=8 * 1024 * 1024))

    with pytest.raises(Stopped, match="removed"):
        source.opened(LogOpened(durable_offset=0, max_batch_bytes=1024))
    source.opened(LogOpened(durable_offset=8 * 1024 * 1024, max_batch_bytes=1024))
    piece = await source.next()
    assert piece is not None
    assert piece.request.chunk.data == file.read_bytes()[8 * 1024 * 1024 :][:1024]
    source.close()
    doorbell.close()
