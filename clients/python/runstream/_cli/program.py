"""The program: which groups of commands there are, and where each is loaded from when it is used."""

import io
import sys
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

import click

from runstream._cli.commands import Group
from runstream._cli.exits import PipeClosed, run_to_exit
from runstream._cli.settings import Settings

ENTRY_POINTS = "runstream.commands"
"""Other packages add commands by an entry point of this group: the name of the command, and a click command."""


@dataclass(frozen=True)
class Entry:
    """A command of the program that is loaded when it is used."""

    summary: str
    module: str = ""
    """The module of ours that defines the command under its own name; empty: it comes from another package."""

    remedy: str = ""
    """How to get a command of another package that is not installed."""


COMMANDS = {
    "agent": Entry("Offer this machine to a compute target; look at agents.", "runstream._cli.agent"),
    "artifact": Entry("List, download, upload and remove the files of runs.", "runstream._cli.artifact"),
    "completion": Entry("Print the script that completes commands in a shell.", "runstream._cli.completion"),
    "compute-target": Entry("List, create and delete compute targets.", "runstream._cli.compute_target"),
    "environment": Entry("List and remove environments of this machine.", "runstream._cli.environment"),
    "experiment": Entry("List and change experiments.", "runstream._cli.experiment"),
    "folder": Entry("Attach folders to a workspace and an experiment.", "runstream._cli.folder"),
    "log": Entry("List, show, follow and search the log files of runs.", "runstream._cli.log"),
    "login": Entry("Use the services at --address from now on.", "runstream._cli.login"),
    "logout": Entry("Forget what `login` stored.", "runstream._cli.login"),
    "run": Entry("Submit, list, show, change and follow runs.", "runstream._cli.run"),
    "spool": Entry("Look at what is recorded on this machine and not stored yet.", "runstream._cli.spool"),
    "status": Entry("Tell which services are found, and whether they answer.", "runstream._cli.status"),
    "sync": Entry("Upload what was recorded without the services.", "runstream._cli.sync"),
    "token": Entry("Create, list and revoke tokens of the workspace.", "runstream._cli.token"),
    "up": Entry(
        "Run the whole backend on this machine until Ctrl-C.",
        remedy="it comes with the server; say: pip install 'runstream-server[embedded]'",
    ),
    "workspace": Entry("List, create and change workspaces.", "runstream._cli.workspace"),
}


class Program(Group):
    """The program `runstream`. It ends the process with the code of `exits`, and never with a stack trace."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program and exits."""
        settings = Settings()
        kwargs |= {"standalone_mode": False, "obj": settings}
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        sys.exit(run_to_exit(lambda: super(Program, self).main(*args, **kwargs), settings))

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. A closed pipe is passed on under a name of ours: click would exit by itself."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosed from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, those of other packages included."""
        return sorted({*COMMANDS, *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Loads the command of this name; None if there is none."""
        entry = COMMANDS.get(cmd_name)
        if entry and entry.module:
            loaded: click.Command = getattr(import_module(entry.module), cmd_name.replace("-", "_"))
            return loaded
        return self._of_package(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command that `args` begin with, or says which ones are spelled alike."""
        if args[0][:1].isalnum() and self.get_command(ctx, args[0]) is None:
            import difflib

            alike = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            ctx.fail(f"There is no command {args[0]!r}." + (f" Do you mean {alike[0]!r}?" if alike else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands with their summaries, and loads none of ours for that."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(ctx, name)) for name in self.list_commands(ctx)])

    def _summary(self, ctx: click.Context, name: str) -> str:
        if name in COMMANDS:
            return COMMANDS[name].summary
        try:
            command = self._of_package(ctx, name)
        except click.ClickException as error:
            return error.message
        return command.get_short_help_str(60) if command else ""

    def _of_package(self, ctx: click.Context, name: str) -> click.Command | None:
        point = _entry_points().get(name)
        if point is None:
            if entry := COMMANDS.get(name):
                raise click.ClickException(f"`runstream {name}` is not installed: {entry.remedy}")
            return None
        try:
            command = point.load()
        except Exception as error:
            raise click.ClickException(f"`runstream {name}` cannot be loaded: {error!r}") from error
        return command if isinstance(command, click.Command) else None


def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: runstream run list --status Running -o table",
)
@click.version_option(package_name="runstream", message="runstream %(version)s")
def program() -> None:
    """Look at and change training runs that Runstream recorded."""
