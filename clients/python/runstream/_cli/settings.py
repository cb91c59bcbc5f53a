"""The options that commands share, and what they were set to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click

OUTPUT_FORMATS = ("json", "jsonc", "table", "tsv", "yaml", "none")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass
class Settings:
    """What the shared options were set to; an option after the command wins over the same one before it."""

    query: str | None = None
    output: str | None = None
    """One of `OUTPUT_FORMATS`; None: a table when stdout is a terminal, else JSON."""

    address: str | None = None
    debug: bool = False
    verbose: bool = False
    only_show_errors: bool = False

    workspace_name: str | None = None
    experiment_name: str | None = None
    resource_group: str | None = None
    subscription_id: str | None = None
    path: str | None = None
    output_metadata_file: str | None = None

    @property
    def level(self) -> Literal["debug", "info", "warning", "error"]:
        """How much is said on stderr."""
        if self.debug:
            return "debug"
        if self.only_show_errors:
            return "error"
        return "info" if self.verbose else "warning"


def settings_of(context: click.Context) -> Settings:
    """The settings of the program that `context` belongs to."""
    return context.ensure_object(Settings)


def global_options() -> Sequence[click.Option]:
    """The options that every command takes, before and after its name."""
    return (
        _shared("--query", metavar="JMESPATH", help="Show what this query selects of the result."),
        _shared(
            *("-o", "--output"),
            type=click.Choice(OUTPUT_FORMATS),
            metavar="FORMAT",
            help=f"{', '.join(OUTPUT_FORMATS)}. Default: table on a terminal, else json.",
        ),
        _shared(
            "--address",
            metavar="HOST:PORT",
            help="Where the services are, with grpcs:// for TLS; see `runstream status`.",
        ),
        _shared("--verbose", is_flag=True, help="Say more about what happens."),
        _shared("--debug", is_flag=True, help="Say everything, and the stack trace of an error."),
        _shared("--only-show-errors", is_flag=True, help="Say nothing but errors."),
    )


def place_options() -> Sequence[click.Option]:
    """The options of commands that work in a workspace."""
    return (
        _shared("-w", "--workspace-name", metavar="NAME", help="The workspace. Default: see --path, else `default`."),
        _shared("-e", "--experiment-name", metavar="NAME", help="The experiment. Default: see --path."),
        _shared("--path", metavar="FOLDER", help="The attached folder. Default: this one, or one above it."),
        _shared("-t", "--output-metadata-file", metavar="FILE", help="Write the result to this new JSON file too."),
        _shared("-g", "--resource-group", metavar="TEXT", help="A label; only `folder attach` keeps it."),
        _shared("--subscription-id", metavar="TEXT", help="A label; only `folder attach` keeps it."),
    )


def run_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that says which run, as parameter `run`."""
    return click.option("-r", "--run", required=True, metavar="RUN", help="The id of the run.")(command)


def _shared(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_keep, **attributes)


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    settings = settings_of(context)
    if value and parameter.name:
        setattr(settings, parameter.name, value)
