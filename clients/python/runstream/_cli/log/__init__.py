"""The commands of `runstream log`."""

import click

from runstream._cli.commands import Group
from runstream._cli.log.cat import cat
from runstream._cli.log.listing import ls
from runstream._cli.log.search import search


@click.group(cls=Group)
def log() -> None:
    """List, show, follow and search the log files of runs."""


for command in (ls, cat, search):
    log.add_command(command)
