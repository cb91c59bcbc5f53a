"""Whatever lies in a folder that is followed, the search goes on."""

import sys
from pathlib import Path

import pytest

from runstream._uplink.doorbell import Doorbell
from runstream._uplink.folders import MAX_FILES, find_files
from runstream._uplink.logs import LogSource
from runstream.api.logs.v1.log_service_pb2 import LogOpened

ENDLESS_SECONDS = 1e6


def test_entries_that_cannot_be_looked_at_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("text")
    (tmp_path / "endless.txt").symlink_to(tmp_path / "endless.txt")
    (tmp_path / "long.txt").symlink_to("x" * 300)

    assert find_files("logs", tmp_path) == ([("logs/good.txt", tmp_path / "good.txt")], [tmp_path])


def test_a_folder_of_too_many_files_is_cut_so_that_it_shows(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 5):
        (tmp_path / f"{number}.txt").touch()

    assert len(find_files("logs", tmp_path)[0]) == MAX_FILES + 1


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert find_files("logs", tmp_path / "nowhere") == ([], [])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of new files")
async def test_a_folder_tells_of_new_files_and_folders(tmp_path: Path) -> None:
    doorbell = Doorbell()
    bell = doorbell.bell(tmp_path)
    for make in (Path.touch, Path.mkdir):
        bell.arm()
        make(tmp_path / make.__name__)
        await bell.wait(ENDLESS_SECONDS)
    doorbell.close()


async def test_a_bell_tells_of_what_it_was_given_last(tmp_path: Path) -> None:
    doorbell = Doorbell()
    bell = doorbell.bell(tmp_path / "gone")

    assert bell.tell_of([tmp_path])
    assert not bell.tell_of([])
    doorbell.close()


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "file/below"])
async def test_a_file_that_cannot_be_looked_at_is_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("text")
    doorbell, local = Doorbell(), tmp_path / name

    assert LogSource("run", "log", local, doorbell.bell(local)).size == 0
    doorbell.close()


async def test_a_log_is_full_when_its_file_has_a_whole_chunk_that_was_not_sent(tmp_path: Path) -> None:
    doorbell, local = Doorbell(), tmp_path / "log.txt"
    source = LogSource("run", "log", local, doorbell.bell(local))
    local.write_bytes(b"0123456789")
    assert await source.appears()
    source.opened(LogOpened(max_batch_bytes=10))
    assert source.is_full
    await source.next()
    local.write_bytes(b"0123456789 and more")
    assert not source.is_full
    source.close()
    doorbell.close()
