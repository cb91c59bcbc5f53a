"""Where the client finds the services."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runstream._channel.address import find_address, is_loopback, parse_address, url_of
from runstream.exceptions import UserErrorException


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with nothing in it, and no address in the environment."""
    monkeypatch.setenv("RUNSTREAM_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("RUNSTREAM_ADDRESS", raising=False)
    return tmp_path


def test_a_running_up_is_found(state: Path) -> None:
    (state / "up.json").write_text(json.dumps({"address": "127.0.0.1:4000", "pid": os.getpid()}))

    assert find_address() == "127.0.0.1:4000"


def test_an_up_whose_process_is_gone_is_not_found(state: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (state / "up.json").write_text(json.dumps({"address": "127.0.0.1:4000", "pid": gone.pid}))

    with pytest.raises(UserErrorException, match="runstream up"):
        find_address()


def test_a_login_wins_over_a_running_up(state: Path) -> None:
    (state / "up.json").write_text(json.dumps({"address": "127.0.0.1:4000", "pid": os.getpid()}))
    (state / "login.json").write_text(json.dumps({"address": "example.org:4001"}))

    assert find_address() == "example.org:4001"


def test_the_environment_wins_over_all(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (state / "login.json").write_text(json.dumps({"address": "example.org:4001"}))
    monkeypatch.setenv("RUNSTREAM_ADDRESS", "10.0.0.1:4002")

    assert find_address() == "10.0.0.1:4002"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pid": "x"}', '{"address": "127.0.0.1:1"}'])
def test_a_damaged_state_file_is_as_none(state: Path, content: str) -> None:
    (state / "up.json").write_text(content)

    with pytest.raises(UserErrorException) as caught:
        find_address()
    for remedy in ("runstream up", "RUNSTREAM_ADDRESS", "runstream login"):
        assert remedy in caught.value.message


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":1", "host:0", "host:65536", "host:x", "https://h", "ftp://h:1", "://h:1", "a/b:1", "u@h:1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserErrorException, match="host:port"):
        parse_address(text)


@pytest.mark.parametrize("text", ["h:1", "http://h:1", "grpc://h:1/", " h:1 "])
def test_a_scheme_and_a_slash_are_dropped(text: str) -> None:
    assert parse_address(text) == "h:1"


@pytest.mark.parametrize("text", ["https://h:1", "grpcs://h:1/", " GRPCS://h:1 "])
def test_a_scheme_that_means_tls_is_kept_as_one(text: str) -> None:
    assert parse_address(text) == "grpcs://h:1"
    assert url_of(parse_address(text)) == "https://h:1"


def test_loopback_is_told_from_other_hosts() -> None:
    assert all(map(is_loopback, ("localhost:1", "127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "grpcs://localhost:1")))
    assert not is_loopback("example.org:1")
