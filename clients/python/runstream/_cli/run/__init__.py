"""The commands of `runstream run`."""

import click

from runstream._cli.commands import Group
from runstream._cli.run.attach import attach, clean
from runstream._cli.run.change import cancel, update
from runstream._cli.run.listing import list_runs
from runstream._cli.run.logs import download_logs, monitor_logs
from runstream._cli.run.metrics import metrics
from runstream._cli.run.show import show
from runstream._cli.run.snapshot import download_snapshot
from runstream._cli.run.submit import submit_script
from runstream._cli.run.tensorboard import monitor_tensorboard
from runstream._cli.run.watch import watch


@click.group(cls=Group)
def run() -> None:
    """Submit, list, show, change and follow runs."""


for command in (
    submit_script,
    attach,
    list_runs,
    show,
    cancel,
    update,
    metrics,
    monitor_logs,
    monitor_tensorboard,
    download_logs,
    download_snapshot,
    watch,
    clean,
):
    run.add_command(command)
