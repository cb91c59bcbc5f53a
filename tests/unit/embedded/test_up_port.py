"""Which port a backend serves on."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstream_server.embedded.port import HOST, choose_port, note_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free() -> int:
    """A port on which nobody listens."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_the_port_asked_for_is_taken(tmp_path: Path, taken: int, free: int) -> None:
    note_port(free, tmp_path / "port")

    assert choose_port(taken, tmp_path / "port") == taken
    assert choose_port(0, tmp_path / "port") == 0


def test_the_port_of_the_last_time_is_taken_again(tmp_path: Path, free: int) -> None:
    note_port(free, tmp_path / "port")

    assert choose_port(None, tmp_path / "port") == free


def test_a_port_that_is_taken_is_not_chosen(tmp_path: Path, taken: int) -> None:
    note_port(taken, tmp_path / "port")

    assert choose_port(None, tmp_path / "port") != taken


@pytest.mark.parametrize("text", ["", "many", "-1", "70000", "99999999999999999999999"])
def test_a_damaged_note_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "port").write_text(text)

    assert 0 <= choose_port(None, tmp_path / "port") <= 65_535
