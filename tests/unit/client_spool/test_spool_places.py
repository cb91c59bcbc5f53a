"""Spools are never put where somebody else could read or change them."""

import tempfile
from pathlib import Path

import pytest

from runstream._spool.places import SPOOL_VARIABLE, spool_root


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of a user who can write no other."""
    occupied = tmp_path / "a file"
    occupied.touch()
    monkeypatch.delenv(SPOOL_VARIABLE, raising=False)
    monkeypatch.setenv("RUNSTREAM_STATE_DIR", str(occupied))
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_folder_among_the_temporary_files_is_for_its_user_alone(temporary: Path) -> None:
    root = spool_root()

    assert root.parent.parent == temporary
    assert root.stat().st_mode & 0o777 == root.parent.stat().st_mode & 0o777 == 0o700
    assert spool_root() == root


def test_a_folder_that_others_may_write_is_refused(temporary: Path) -> None:
    spool_root().parent.chmod(0o777)

    with pytest.raises(PermissionError, match=SPOOL_VARIABLE):
        spool_root()


def test_a_link_in_place_of_the_folder_is_refused(temporary: Path, tmp_path: Path) -> None:
    root = spool_root()
    root.rmdir()
    root.symlink_to(tmp_path)

    with pytest.raises(PermissionError, match=SPOOL_VARIABLE):
        spool_root()
