"""Which tokens spools are carried with."""

import json
from pathlib import Path

import pytest

from runstream._channel.connection import Connection, close_connections
from runstream._channel.tokens import Token
from runstream._spool.format import HEADER_BYTES, decode_header
from runstream._spool.places import group_folder
from runstream._spool.tokens import keep_token, noted_token
from runstream._spool.writer import SpoolWriter
from runstream._uplink.tokens import MAX_KEPT, SpoolTokens, notes_in
from tests.conftest import forget_settings

HERE = "127.0.0.1:1"
RUN = "workspaces/space/runs/run"


@pytest.fixture(autouse=True)
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of spools, of a user without a token."""
    places = {"RUNSTREAM_STATE_DIR": str(tmp_path / "state"), "RUNSTREAM_SPOOL_DIR": str(tmp_path / "spools")}
    forget_settings(monkeypatch, {**places, "RUNSTREAM_TOKEN": "", "RUNSTREAM_TOKEN_FILE": ""})
    folder = group_folder(HERE)
    folder.mkdir(parents=True)
    return folder


def spool_of(group: Path, run: str = RUN) -> Path:
    writer = SpoolWriter(group, run, HERE)
    writer.abandon()
    return writer.path


def note_of(spool: Path) -> str:
    return decode_header(spool.read_bytes()[:HEADER_BYTES]).token


def test_a_spool_of_a_user_without_a_token_is_one_that_older_uplinks_read(group: Path) -> None:
    spool = spool_of(group)

    assert note_of(spool) == ""
    assert len(json.loads(spool.read_bytes()[20:HEADER_BYTES].partition(b"\0")[0])) == 5
    assert not SpoolTokens(group).credential_of(spool).token.secret


def test_a_token_file_is_followed_and_kept_when_it_is_removed(
    group: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("rsr_1")
    monkeypatch.setenv("RUNSTREAM_TOKEN_FILE", str(file))
    note = note_of(spool_of(group))
    file.write_text("rsr_2")
    followed = noted_token(note, HERE).secret
    keep_token(HERE, RUN, file)
    file.unlink()

    assert followed == "rsr_2"
    assert noted_token(note, HERE).secret == "rsr_2"
    assert notes_in(group.parent) == {note}


def test_the_token_of_a_file_that_no_spool_was_written_with_is_not_kept(group: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("rsr_1")

    keep_token(HERE, RUN, file)

    assert not list((tmp_path / "state").glob("tokens/*"))


def test_a_refused_token_is_followed_by_later_ones_of_the_workspace_but_not_by_those_of_other_runs(
    group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spools = {}
    for secret, run in {"rst_1": RUN, "rsr_2": f"{RUN}-2", "rst_3": "workspaces/other/runs/r", "rst_4": RUN}.items():
        monkeypatch.setenv("RUNSTREAM_TOKEN", secret)
        spools[secret] = spool_of(group, run)
    monkeypatch.setenv("RUNSTREAM_TOKEN", "")
    credential = SpoolTokens(group).credential_of(spools["rst_1"])

    assert credential.token.secret == "rst_1"
    assert credential.replaces(credential.token)
    assert credential.token.secret == "rst_4"
    assert not credential.replaces(credential.token)


async def test_connections_of_tokens_that_nothing_is_carried_with_are_closed(
    group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, used = SpoolTokens(group), []
    for number in range(MAX_KEPT + 1):
        monkeypatch.setenv("RUNSTREAM_TOKEN", f"rst_{number}")
        credential = tokens.credential_of(spool_of(group))
        used.append((credential, Connection.to(HERE, credential)))
    (last, kept), (refused, remembered) = used[-1], used[0]
    refused.replaces(Token("rst_0"))
    await tokens.drop_unused({last})

    assert Connection.to(HERE, last) is kept
    assert Connection.to(HERE, refused) is remembered
    assert all(Connection.to(HERE, credential) is not one for credential, one in used[1:-1])
    await close_connections()
