"""What a command works with: where it works, the services, and how it shows results."""

import functools
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runstream._cli.output import Output, View, to_json
from runstream._cli.settings import Settings, settings_of

if TYPE_CHECKING:
    from runstream._cli.place import Place
    from runstream._cli.services import Services

logger = logging.getLogger("runstream")

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Session:
    """One use of a command. Creating it refuses a wrong query or file before anything happens."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        _listen(settings.level)
        self.output = Output(settings.output, settings.query)
        self._copy = _new_file(settings.output_metadata_file)

    @cached_property
    def place(self) -> "Place":
        """Where the command works."""
        from runstream._cli.place import find_place

        place = find_place(self.settings)
        logger.info("Using workspace %s at %s, found by %s.", place.workspace, place.address, place.source)
        return place

    @cached_property
    def services(self) -> "Services":
        """The services of the place."""
        from runstream._cli.services import Services

        return Services(self.place.address)

    @property
    def workspace(self) -> str:
        """The resource name of the workspace."""
        return f"workspaces/{self.place.workspace}"

    def describe_place(self) -> str:
        """The experiment and the workspace, in words."""
        experiment = f"experiment {self.place.experiment} of " if self.place.experiment else ""
        return f"{experiment}workspace {self.place.workspace}"

    def run_name(self, run: str) -> str:
        """The resource name of a run of the workspace."""
        return f"{self.workspace}/runs/{run}"

    def show(self, result: Any, view: View | None = None) -> None:
        """Writes a result to stdout, and all of it to the file that was asked for."""
        if self._copy:
            with self._copy.open("x", encoding="utf-8") as file:
                file.write(to_json(result) + "\n")
        self.output.show(result, view)

    def say(self, message: str) -> None:
        """Tells the user something on stderr that is no result."""
        if not self.settings.only_show_errors:
            click.echo(message, err=True)


def pass_session(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Gives a command its session as first argument."""

    @functools.wraps(command)
    def with_session(*args: Any, **kwargs: Any) -> int | None:
        return command(Session(settings_of(click.get_current_context())), *args, **kwargs)

    return with_session


def _new_file(name: str | None) -> Path | None:
    if not name:
        return None
    file = Path(name)
    if file.exists():
        raise click.UsageError(f"The file {name} of --output-metadata-file exists; name a new one.")
    if not file.absolute().parent.is_dir():
        raise click.UsageError(f"There is no folder for the file {name} of --output-metadata-file.")
    return file


def _listen(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.handlers = [handler]
    logger.setLevel(LEVELS[level])
