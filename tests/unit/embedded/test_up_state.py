"""The file by which clients find a backend."""

import os
from pathlib import Path

import platformdirs
import pytest

from runstream_server.embedded.state import announced, read_state, state_folder


def test_the_state_is_there_while_the_backend_runs(tmp_path: Path) -> None:
    paths = (tmp_path / "state" / "up.json", tmp_path / "up.json")
    state = {"address": "127.0.0.1:1", "pid": os.getpid()}

    with announced(state, *paths):
        assert [read_state(path) for path in paths] == [state, state]

    assert not any(path.exists() for path in paths)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_the_state_of_a_later_backend_stays(tmp_path: Path) -> None:
    path = tmp_path / "up.json"

    with announced({"address": "127.0.0.1:1", "pid": os.getpid()}, path):
        path.write_text('{"address": "127.0.0.1:2", "pid": 1}')

    assert read_state(path)["address"] == "127.0.0.1:2"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_state_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "up.json").write_bytes(content)

    assert read_state(tmp_path / "up.json") == {}


def test_the_state_folder_can_be_set() -> None:
    assert state_folder({"RUNSTREAM_STATE_DIR": "/somewhere"}) == Path("/somewhere")
    assert state_folder({}) == platformdirs.user_state_path("runstream")
