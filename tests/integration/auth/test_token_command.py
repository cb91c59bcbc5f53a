"""`runstream-server token`: the first tokens, straight in the database."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runstream_server.cli import main
from tests.conftest import make_database


@pytest.fixture
def dsn(postgres_server: str, migrated_template: str) -> str:
    """A migrated database."""
    return make_database(postgres_server, migrated_template)


def command(dsn: str, *arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(main, ["token", *arguments], env={"RUNSTREAM_POSTGRES_DSN": dsn, **variables})


def test_a_token_is_made_listed_and_revoked(dsn: str) -> None:
    made = command(dsn, "create", "--workspace", "space", "--role", "writer", "--name", "nightly", "--expires", "7")
    operator = command(dsn, "create", "--operator")
    secret, told = made.stdout.strip(), json.loads(made.stderr.splitlines()[-1])
    revoked = command(dsn, "revoke", told["name"])
    listed = command(dsn, "ls")

    assert secret.startswith("rst_")
    assert operator.exit_code == revoked.exit_code == 0
    tokens = {token["name"]: token for token in map(json.loads, listed.stdout.splitlines())}
    assert tokens[told["name"]]["display_name"] == "nightly"
    assert "revoke_time" in tokens[told["name"]]
    assert sorted(token["role"] for token in tokens.values()) == ["operator", "writer"]
    assert secret not in listed.output
    of_space = command(dsn, "ls", "--workspace", "space")
    assert [json.loads(line)["name"] for line in of_space.stdout.splitlines()] == [told["name"]]
    of_operator = next(name for name in tokens if name.startswith("tokens/"))
    assert command(dsn, "revoke", of_operator).exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["create"],
        ["create", "--workspace", "space"],
        ["create", "--role", "reader"],
        ["create", "--operator", "--role", "reader"],
        ["create", "--workspace", "space", "--role", "operator"],
        ["create", "--operator", "--expires", "0"],
    ],
)
def test_a_wrong_call_is_refused(dsn: str, arguments: list[str]) -> None:
    assert command(dsn, *arguments).exit_code == 2


def test_what_is_wrong_is_told(dsn: str, tmp_path: Path) -> None:
    unknown = command(dsn, "revoke", f"workspaces/space/tokens/{'0' * 32}")
    nowhere = command("", "ls", RUNSTREAM_STATE_DIR=str(tmp_path))

    assert (unknown.exit_code, nowhere.exit_code) == (1, 2)
    assert "no token has the name" in unknown.output
    assert "RUNSTREAM_POSTGRES_DSN" in nowhere.output
