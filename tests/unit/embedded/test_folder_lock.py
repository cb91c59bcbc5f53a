"""One owner per folder."""

import os
from pathlib import Path

import pytest

from runstream_server.embedded.errors import FolderInUse
from runstream_server.embedded.lock import lock_folder


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "for us"

    with lock_folder(folder), pytest.raises(FolderInUse, match=f"in use by process {os.getpid()}"), lock_folder(folder):
        pass

    with lock_folder(folder) as again:
        assert again == folder.resolve()


def test_what_a_dead_owner_left_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("1\n")

    with lock_folder(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_that_was_made_is_ours_alone(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "folder"):
        assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700
