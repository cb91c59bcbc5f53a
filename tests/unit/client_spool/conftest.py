"""What the tests of the spool stand on."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstream._spool import RunSpool
from runstream._spool.lock import lock_file
from runstream._spool.places import LOCK_NAME, SPOOL_VARIABLE, group_folder
from runstream._spool.room import LIMIT_VARIABLE

ADDRESS = "127.0.0.1:1"
RUN = "workspaces/default/runs/one"


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunSpool]:
    """A queue that no uplink carries: this process holds the lock. Its limit is 400 KiB, a spool's length 100 KiB."""
    monkeypatch.setenv(SPOOL_VARIABLE, str(tmp_path))
    monkeypatch.setenv(LIMIT_VARIABLE, "400 KiB")
    group_folder(ADDRESS).mkdir()
    lock = lock_file(group_folder(ADDRESS) / LOCK_NAME)
    assert lock is not None
    spool = RunSpool(RUN, ADDRESS)
    yield spool
    spool.finish()
    os.close(lock)
