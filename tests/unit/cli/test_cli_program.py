"""The program: its help, its page in the documentation, and commands of other packages."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from runstream._cli.program import COMMANDS, program

Invoke = Callable[..., Result]

ROOT = Path(__file__).parents[3]
DOCS: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "generate_cli_docs.py"))
ALL = dict(DOCS["commands"](program, click.Context(program, info_name="runstream")))


def test_the_page_in_the_documentation_is_fresh() -> None:
    page = DOCS["page"]()

    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == page, "docs/cli.md is stale: say `make docs`"


@pytest.mark.parametrize("path", [path for path, command in ALL.items() if not isinstance(command, click.Group)])
def test_the_help_of_a_command_ends_with_an_example_of_it(path: str) -> None:
    _, found, examples = (ALL[path].epilog or "").replace("Examples:", "Example:").partition("Example:")

    assert found
    assert path in examples


@pytest.mark.parametrize("path", [path for path in ALL if path != "runstream up"])
def test_a_command_says_what_it_does_in_one_short_sentence(path: str) -> None:
    command = ALL[path]
    sentence = (command.help or "").split("\n")[0]

    assert command.help
    assert sentence.endswith(".")
    assert not command.get_short_help_str(66).endswith("...")


@pytest.mark.parametrize("name", [name for name, entry in COMMANDS.items() if entry.module])
def test_the_overview_says_of_a_command_what_its_own_help_says(name: str) -> None:
    assert ALL[f"runstream {name}"].get_short_help_str(100) == COMMANDS[name].summary


@pytest.mark.parametrize("path", ["runstream", *ALL])
def test_help_fits_80_columns(invoke: Invoke, path: str) -> None:
    result = invoke(*path.split()[1:], "--help")

    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_help_loads_neither_grpc_nor_protobuf_nor_rich() -> None:
    program_text = (
        "import sys\nfrom runstream._cli import main\n"
        "sys.argv[1:] = ['--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'grpc', 'google.protobuf', 'rich', 'jmespath', 'yaml', 'asyncio'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", program_text], capture_output=True, text=True, check=True)

    assert process.stdout.splitlines()[-1] == "[]"


def test_the_version_is_that_of_the_package(invoke: Invoke) -> None:
    assert invoke("--version").stdout.startswith("runstream 0.")


def add_package(folder: Path, name: str, code: str) -> None:
    """A package that is installed in `folder`, with one module and a command, all of this name."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[runstream.commands]\n{name} = {name}:{name}\n")


def test_a_command_of_another_package_is_a_command_of_the_program(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = 'import click\n@click.command()\ndef greet():\n    """Greet."""\n    click.echo("hello")\n'
    add_package(tmp_path, "greet", code)
    monkeypatch.syspath_prepend(str(tmp_path))

    assert invoke("greet").stdout == "hello\n"
    assert "Greet." in invoke("--help").stdout


def test_a_command_of_another_package_that_cannot_be_loaded_says_so_and_harms_no_other(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_package(tmp_path, "broken", "import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    result = invoke("broken")

    assert result.exit_code == 1
    assert "nothing_of_that_name" in result.stderr
    assert "Traceback" not in result.output
    assert invoke("--help").exit_code == 0


def test_without_the_server_up_is_listed_and_says_how_to_install_it(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_only = [entry for entry in sys.path if not _has_server(Path(entry))]
    monkeypatch.setattr(sys, "path", client_only)

    result = invoke("up")

    assert result.exit_code == 1
    assert "pip install 'runstream-server[embedded]'" in result.stderr
    assert "\n  up " in invoke("--help").stdout


def _has_server(folder: Path) -> bool:
    return any(folder.glob("runstream_server-*.dist-info")) if folder.is_dir() else False
