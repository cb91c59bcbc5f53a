"""Where a token comes from, and what replaces it."""

import json
import logging
import os
from pathlib import Path

import pytest

from runstream._channel.address import forget_login, store_login
from runstream._channel.tokens import Alternatives, Credential, Token, find_token
from tests.conftest import forget_settings

HERE = "127.0.0.1:4000"
FIRST, SECOND = "rst_first", "rst_second"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with nothing in it, and no token in the environment."""
    forget_settings(monkeypatch, {"RUNSTREAM_STATE_DIR": str(tmp_path / "state")})
    return tmp_path / "state"


def file_of(folder: Path, text: str) -> Path:
    path = folder / "token"
    path.write_text(text)
    return path


def test_a_file_goes_before_a_variable_and_a_variable_before_a_login(tmp_path: Path) -> None:
    store_login(HERE, "of-login")
    variable, file = {"RUNSTREAM_TOKEN": SECOND}, {"RUNSTREAM_TOKEN_FILE": str(file_of(tmp_path, f" {FIRST}\n"))}

    assert find_token(HERE, variable | file) == Token(FIRST, "RUNSTREAM_TOKEN_FILE")
    assert find_token(HERE, variable) == Token(SECOND, "RUNSTREAM_TOKEN")
    assert find_token(HERE, {}) == Token("of-login", "runstream login")


def test_what_login_stored_is_shown_to_no_other_services_and_read_by_nobody_else(state: Path) -> None:
    stored = store_login(HERE, FIRST)

    assert stored.stat().st_mode & 0o777 == 0o600
    assert find_token("127.0.0.1:4001", {}).secret == ""
    assert find_token(f"grpcs://{HERE}", {}).secret == ""
    forget_login()
    assert find_token(HERE, {}).secret == ""


def test_the_token_of_a_backend_of_this_machine_is_found(state: Path) -> None:
    state.mkdir()
    (state / "up.json").write_text(json.dumps({"address": HERE, "pid": os.getpid(), "token": FIRST}))

    assert find_token(HERE, {}) == Token(FIRST, "runstream up")


def test_where_the_file_is_gone_the_variable_counts(tmp_path: Path) -> None:
    environ = {"RUNSTREAM_TOKEN_FILE": str(tmp_path / "gone"), "RUNSTREAM_TOKEN": SECOND}

    assert find_token(HERE, environ).secret == SECOND


@pytest.mark.parametrize("text", ["", "two words", "line\nfeed", "\N{SNOWMAN}", "x" * 5_000])
def test_what_is_no_token_is_not_sent_and_its_source_is_known(tmp_path: Path, text: str) -> None:
    found = find_token(HERE, {"RUNSTREAM_TOKEN_FILE": str(file_of(tmp_path, text))})

    assert (found.secret, found.metadata, found.source) == ("", None, "RUNSTREAM_TOKEN_FILE")


def test_a_token_is_not_shown_by_what_holds_it() -> None:
    assert FIRST not in repr(Token(FIRST, "RUNSTREAM_TOKEN"))


def test_a_file_that_changes_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = file_of(tmp_path, FIRST)
    monkeypatch.setenv("RUNSTREAM_TOKEN_FILE", str(file))
    credential = Credential.ambient(HERE)
    before = credential.token

    assert not credential.replaces(before)
    file.write_text(SECOND)

    assert credential.replaces(before)
    assert credential.metadata == (("authorization", f"Bearer {SECOND}"),)


def test_one_alternative_after_the_other_is_tried_and_the_first_stays_where_all_are_refused() -> None:
    tokens = [Token(FIRST), Token(SECOND)]
    credential = Alternatives(lambda: tokens[0], lambda: tokens[1])

    assert credential.token.secret == FIRST
    assert credential.replaces(credential.token)
    assert credential.token.secret == SECOND
    assert not credential.replaces(credential.token)
    assert credential.token.secret == FIRST
    tokens[0] = Token("rst_third")
    assert credential.replaces(Token(FIRST))


def test_others_are_asked_only_when_a_token_was_refused() -> None:
    asked = []

    def other() -> list[Token]:
        asked.append(1)
        return [Token(FIRST), Token(SECOND)]

    credential = Alternatives(lambda: Token(FIRST), otherwise=other)

    assert credential.token.secret == FIRST
    assert not asked
    assert not credential.stands_in
    assert credential.replaces(Token(FIRST))
    assert credential.token.secret == SECOND
    assert credential.stands_in


async def test_a_token_on_an_open_network_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from runstream._channel.authorized import open_channel

    monkeypatch.setenv("RUNSTREAM_TOKEN", FIRST)
    with caplog.at_level(logging.WARNING, "runstream"):
        for address in ("h.example:1", "h.example:1", HERE, "grpcs://h.example:2"):
            await open_channel(address).close()

    assert len(caplog.records) == 1
    assert "grpcs://h.example:1" in caplog.text
    assert FIRST not in caplog.text
