"""Shared options stand anywhere; a wrong call is refused before anything happens."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from runstream._cli.commands import Group, PlacedCommand
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import Settings, run_option

Invoke = Callable[..., Result]

GLOBAL = ("--query", "a", "-o", "json", "--address", "h:1", "--debug", "--verbose", "--only-show-errors")
PLACE = ("-w", "vision", "-e", "digits", "-g", "group", "--subscription-id", "s", "--path", "p", "-t", "copy.json")


@click.group(cls=Group)
def outer() -> None:
    """The program of these tests."""


@outer.group(cls=Group)
def inner() -> None:
    """A group of it."""


@inner.command(cls=PlacedCommand)
@run_option
@click.option("--flag", is_flag=True)
@pass_session
def leaf(session: Session, run: str, flag: bool) -> None:
    """Show what the options were set to."""
    session.show({"run": run, "flag": flag, **vars(session.settings)})


def settings_after(*arguments: str) -> Settings:
    settings = Settings()
    outer.main(list(arguments), "test", obj=settings, standalone_mode=False)
    return settings


@pytest.mark.parametrize(
    "arguments",
    [
        ("inner", "leaf", "-r", "1", *GLOBAL, *PLACE),
        (*GLOBAL, "inner", "leaf", "-r", "1", *PLACE),
        ("inner", *GLOBAL, "leaf", *PLACE, "-r", "1"),
        ("inner", "leaf", *PLACE, "-r", "1", *GLOBAL),
    ],
)
def test_shared_options_mean_the_same_wherever_they_stand(elsewhere: Path, arguments: Sequence[str]) -> None:
    assert settings_after(*arguments) == Settings(
        query="a",
        output="json",
        address="h:1",
        debug=True,
        verbose=True,
        only_show_errors=True,
        workspace_name="vision",
        experiment_name="digits",
        resource_group="group",
        subscription_id="s",
        path="p",
        output_metadata_file="copy.json",
    )


def test_an_option_after_the_command_wins_over_the_same_one_before_it(elsewhere: Path) -> None:
    assert settings_after("-o", "yaml", "inner", "-o", "tsv", "leaf", "-r", "1", "-o", "json").output == "json"
    assert settings_after("-o", "yaml", "inner", "leaf", "-r", "1").output == "yaml"


def test_a_last_argument_that_starts_with_a_bracket_is_the_query(elsewhere: Path) -> None:
    assert settings_after("inner", "leaf", "-r", "1", "[run, flag]").query == "[run, flag]"
    assert settings_after("inner", "leaf", "[run, flag]", "-r", "1").query == "[run, flag]"


@pytest.mark.parametrize("extra", [("nonsense",), ("[a]", "[b]"), ("--query", "a", "[b]"), ("[a", "b")])
def test_other_arguments_left_over_are_refused(elsewhere: Path, extra: Sequence[str]) -> None:
    with pytest.raises(click.UsageError):
        settings_after("inner", "leaf", "-r", "1", *extra)


def test_the_copy_of_a_result_is_all_of_it_whatever_is_shown(elsewhere: Path) -> None:
    CliRunner().invoke(outer, ["inner", "leaf", "-r", "1", "-t", "copy.json", "--query", "run"], obj=Settings())

    assert json.loads((elsewhere / "copy.json").read_text())["run"] == "1"


def test_a_copy_over_a_file_that_exists_is_refused_before_anything_happens(invoke: Invoke, elsewhere: Path) -> None:
    (elsewhere / "copy.json").write_text("precious")

    result = invoke("run", "list", "-t", "copy.json")

    assert result.exit_code == 2
    assert "copy.json" in result.stderr
    assert (elsewhere / "copy.json").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "list", "-o", "xml"), "xml"),
        (("run", "list", "--status", "Finished"), "Completed"),
        (("run", "list", "--last", "-1"), "--last"),
        (("run", "list", "[?a=="), "query"),
        (("run", "list", "-t", "nowhere/copy.json"), "nowhere/copy.json"),
        (("run", "show"), "--run"),
        (("run", "update", "-r", "1"), "Nothing to change"),
        (("experiment", "update", "-e", "digits"), "Nothing to change"),
        (("workspace", "update"), "Nothing to change"),
        (("workspace", "create"), "-w NAME"),
        (("workspace", "delete", "--yes"), "-w NAME"),
        (("workspace", "delete", "-w", "vision", "--address", "localhost:1"), "--yes"),
        (("login",), "--address"),
        (("completion", "tcsh"), "bash"),
        (("folder", "attach", "--path", "nowhere"), "nowhere"),
        (("run", "list", "--path", "."), "configuration"),
        (("runs", "list"), "'run'"),
        (("--address", "nowhere", "run", "list"), "host:port"),
    ],
)
def test_a_wrong_call_ends_with_code_2_and_says_what_is_wrong(
    invoke: Invoke, arguments: Sequence[str], message: str
) -> None:
    result = invoke(*arguments)

    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(invoke: Invoke, shell: str) -> None:
    result = invoke("completion", shell)

    assert result.exit_code == 0
    assert "_RUNSTREAM_COMPLETE" in result.stdout
