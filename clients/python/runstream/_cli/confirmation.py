"""Asks before something is lost for good."""

import sys
from collections.abc import Callable
from typing import Any

import click


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--yes`, as parameter `yes`."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(command)


def confirm(question: str, yes: bool) -> None:
    """Returns when the user says yes, or has said so beforehand.

    Raises:
        UsageError: There is nobody to ask.
        Abort: The user says no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("There is nobody to ask: add --yes.")
    click.confirm(question, abort=True, err=True)
