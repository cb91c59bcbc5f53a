"""Tokens on the command line: made, listed, revoked, stored by a login, and told by the status."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runstream._channel import loop
from runstream_server.auth import Role
from tests.command_line import InProcessCli
from tests.conftest import Backend
from tests.integration.tokens.conftest import Guarded
from tests.make_runs import make_run

SPACE = ("-w", "space")


@pytest.fixture
def cli(guarded: Guarded, tmp_path: Path) -> Iterator[InProcessCli]:
    """The command line of a user without a token."""
    made = InProcessCli(tmp_path, guarded.address)
    yield made
    loop.stop()


@pytest.fixture
async def admin(guarded: Guarded, cli: InProcessCli) -> InProcessCli:
    """The command line of an administrator of the workspace."""
    cli.environment["RUNSTREAM_TOKEN"] = (await guarded.issue(Role.ADMIN)).secret
    return cli


async def test_a_token_is_made_shown_once_listed_and_revoked(admin: InProcessCli) -> None:
    made = await admin("token", "create", *SPACE, "--role", "reader", "--name", "dashboard", "--expires", "30")
    listed = await admin("token", "ls", *SPACE)
    secret, identity = made.result["secret"], made.result["id"]
    reading = InProcessCli(admin.folder, admin.environment["RUNSTREAM_ADDRESS"])
    reading.environment["RUNSTREAM_TOKEN"] = secret
    allowed = await reading("workspace", "show", *SPACE)
    refused = await reading("workspace", "update", *SPACE, "--description", "x", code=5)
    revoked = await admin("token", "revoke", identity, *SPACE)
    (shown,) = (await admin("token", "ls", *SPACE, "--query", f"[?id=='{identity}']")).result

    assert secret.startswith("rst_")
    assert made.result["role"] == "reader"
    assert secret not in listed.out
    assert allowed.result["name"] == "space"
    assert "admin" in refused.err
    assert revoked.result["revoked_utc"]
    assert (shown["display_name"], shown["revoked_utc"]) == ("dashboard", revoked.result["revoked_utc"])


async def test_a_secret_can_go_to_a_file_of_its_own(admin: InProcessCli, guarded: Guarded, tmp_path: Path) -> None:
    run = (await make_run(guarded.channel, "of-a-token")).rpartition("/")[2]
    made = await admin("token", "create", *SPACE, "--run", run, "--to-file", "secret")
    again = await admin("token", "create", *SPACE, "--to-file", "secret", code=2)
    await admin("token", "create", *SPACE, "--run", run, "--role", "reader", code=2)
    file = tmp_path / "secret"
    admin.environment |= {"RUNSTREAM_TOKEN_FILE": str(file)}
    status = await admin("status")

    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().startswith("rsr_")
    assert "secret" not in made.result
    assert "secret" in again.err
    assert (status.result["token"]["role"], status.result["token"]["run"]) == ("run", run)
    assert status.result["token"]["found_by"] == "RUNSTREAM_TOKEN_FILE"
    assert file.read_text().strip() not in status.out


async def test_a_login_stores_a_token_that_was_taken_and_status_tells_whose_it_is(
    cli: InProcessCli, guarded: Guarded
) -> None:
    address = cli.environment.pop("RUNSTREAM_ADDRESS")
    issued = await guarded.issue(Role.WRITER, display_name="me")
    missing = await cli("login", "--address", address, code=5)
    cli.stdin = "rst_" + "a" * 43
    unknown = await cli("login", "--address", address, "--token-stdin", code=5)
    cli.stdin = "two words"
    wrong = await cli("login", "--address", address, "--token-stdin", code=2)
    cli.stdin = f"{issued.secret}\n"
    await cli("login", "--address", address, "--token-stdin")
    status = await cli("status")
    table = await cli("status", "-o", "table")
    await cli("login", "--address", address)
    kept = await cli("status", "--query", "token.role")
    await cli("logout")

    assert "--token-stdin" in missing.err
    assert "--token-stdin" in unknown.err
    assert "no token" in wrong.err
    assert "a" * 43 not in unknown.err
    assert status.result["token"] | {"created_utc": 0, "last_used_utc": 0} == {
        "found_by": "runstream login",
        "id": issued.name.token,
        "display_name": "me",
        "role": "writer",
        "workspace_name": "space",
        "run": None,
        "created_utc": 0,
        "expires_utc": None,
        "last_used_utc": 0,
        "revoked_utc": None,
    }
    assert "writer of workspace space; from runstream login" in table.out
    assert issued.secret not in status.out + table.out
    assert kept.result == "writer"


async def test_status_says_what_is_wrong_with_a_token(cli: InProcessCli) -> None:
    missing = await cli("status", code=5)
    cli.environment["RUNSTREAM_TOKEN"] = "rst_" + "b" * 43
    unknown = await cli("status", code=5)

    assert missing.result["token"] == {"problem": "TOKEN_MISSING"}
    assert missing.result["services"]["runs"] == "serving"
    assert unknown.result["token"] == {"problem": "TOKEN_UNKNOWN"}
    assert "RUNSTREAM_TOKEN" in unknown.err


async def test_services_that_let_everybody_in_make_no_tokens(backend: Backend, tmp_path: Path) -> None:
    cli = InProcessCli(tmp_path, backend.address)
    await cli("workspace", "create", *SPACE)
    refused = await cli("token", "create", *SPACE, code=5)
    status = await cli("status")

    assert "everybody" in refused.err
    assert status.result["token"] is None
    loop.stop()
