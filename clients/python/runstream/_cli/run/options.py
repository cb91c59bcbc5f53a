"""The options that say which runs a command is about."""

import functools
from collections.abc import Callable
from typing import Any

import click

from runstream._cli.run.selection import Selection

STATUSES = (
    *("NotStarted", "Unapproved", "Pausing", "Paused", "Starting", "Preparing", "Provisioning", "Queued", "Running"),
    *("Finalizing", "CancelRequested", "Completed", "Failed", "Canceled", "NotResponding"),
)


class StatusName(click.Choice):  # type: ignore[type-arg]
    """The name of a status in any mix of upper and lower case."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name as the service spells it."""
        names = {name.lower(): name for name in STATUSES}
        return super().convert(names.get(str(value).lower(), value), param, ctx)


OPTIONS = (
    click.option("--parent-run-id", "parent", metavar="RUN", help="The children of this run."),
    click.option("--pipeline-run-id", "pipeline", metavar="RUN", help="The steps of this pipeline run."),
    click.option("--include-children", is_flag=True, help="Runs below the top level too."),
    click.option("--compute-target-name", "target", metavar="NAME", help="Runs on this compute target."),
    click.option(
        "--status",
        type=StatusName(STATUSES),
        metavar="STATUS",
        help="Runs with this status, `Running` for example.",
    ),
    click.option("--tags", multiple=True, metavar="KEY[=VALUE]", help="Runs with this tag. May be repeated."),
    click.option("--filter", metavar="TEXT", help="Runs that this filter admits, see below."),
)


def selecting_runs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that say which runs, as one parameter `selection`."""

    @functools.wraps(command)
    def with_selection(*args: Any, **kwargs: Any) -> None:
        names = ("parent", "pipeline", "include_children", "target", "status", "tags", "filter")
        command(*args, selection=Selection(**{name: kwargs.pop(name) for name in names}), **kwargs)

    for option in reversed(OPTIONS):
        with_selection = option(with_selection)
    return with_selection
