"""`environment ls` and `environment prune`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from runstream._cli.commands import Command, Group
from runstream._cli.session import Session, pass_session
from runstream._runner.environments.cache import CachedEnvironment, list_environments
from runstream._runner.environments.cache import prune as remove_unused

DEFAULT_DAYS = 30.0


class EnvironmentGroup(Group):
    """Its commands need no workspace."""

    command_class = Command


EPILOG = """\
\b
Examples:
  runstream environment ls -o table
  runstream environment prune --days 7
"""


@click.group(cls=EnvironmentGroup, epilog=EPILOG)
def environment() -> None:
    """List and remove environments of this machine."""


@environment.command(epilog="Example: runstream environment ls --query '[].description'")
@pass_session
def ls(session: Session) -> None:
    """List the environments that are kept, the one used last first."""
    session.show([_document(each) for each in list_environments()])


@environment.command(epilog="Example: runstream environment prune --days 0")
@click.option(
    "--days", type=click.FloatRange(min=0), default=DEFAULT_DAYS, show_default=True, help="Since it was last used."
)
@pass_session
def prune(session: Session, days: float) -> None:
    """Remove environments not used for long.

    Lists those removed. What a run uses stays. The next run that asks for a removed one waits until it is made again.
    """
    session.show([_document(each) for each in remove_unused(timedelta(days=days).total_seconds())])


def _document(each: CachedEnvironment) -> dict[str, Any]:
    used = datetime.fromtimestamp(each.used_time, UTC).isoformat()
    return {"name": each.folder.name, "used": used, "description": each.description, "path": str(each.folder)}
