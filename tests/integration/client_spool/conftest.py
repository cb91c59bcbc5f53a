"""A folder of spools that scripts write to and nobody carries."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstream._spool.leaving import EXIT_VARIABLE
from runstream._spool.lock import lock_file
from runstream._spool.places import LOCK_NAME, SPOOL_VARIABLE, group_folder
from tests.spool_scenes import ADDRESS, Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv(SPOOL_VARIABLE, str(tmp_path))
    monkeypatch.setenv(EXIT_VARIABLE, "0")
    group = group_folder(ADDRESS)
    group.mkdir()
    lock = lock_file(group / LOCK_NAME)
    assert lock is not None
    yield Scene(group)
    os.close(lock)
