"""The classes of commands and groups, which give each the options that are shared."""

from collections.abc import Sequence
from typing import Any

import click

from runstream._cli.settings import global_options, place_options, settings_of


class Command(click.Command):
    """A command with the global options, and a query in the place of its last argument if that starts with `[`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.own_options = [each for each in self.params if isinstance(each, click.Option)]
        self.shared_options = self.make_shared_options()
        self.params.extend(self.shared_options)

    def make_shared_options(self) -> list[click.Option]:
        """The options that commands of this class share."""
        return list(global_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the arguments; what is left over must be a query."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if len(rest) == 1 and rest[0].startswith("["):
            _take_query(ctx, rest.pop())
        if rest and not ctx.resilient_parsing:
            ctx.fail(f"Got unexpected extra argument{'s' * (len(rest) > 1)} ({' '.join(rest)})")
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the command's own options, then the shared ones."""
        helping = [option for option in [self.get_help_option(ctx)] if option]
        write_options(ctx, formatter, "Options", self.own_options)
        write_options(ctx, formatter, "Common options", [*self.shared_options, *helping])


class PlacedCommand(Command):
    """A command that works in a workspace."""

    def make_shared_options(self) -> list[click.Option]:
        """The options that say where the command works, and the global ones."""
        return [*place_options(), *global_options()]


class Group(click.Group):
    """A group of commands, with the global options."""

    command_class: type[click.Command] | None = PlacedCommand

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_options())

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands, then the options."""
        self.format_commands(ctx, formatter)
        options = [option for option in self.get_params(ctx) if isinstance(option, click.Option)]
        write_options(ctx, formatter, "Options", options)


def write_options(
    ctx: click.Context, formatter: click.HelpFormatter, title: str, options: Sequence[click.Option]
) -> None:
    """Writes a section of options if there are any."""
    records = [record for option in options if (record := option.get_help_record(ctx))]
    if records:
        with formatter.section(title):
            formatter.write_dl(records)


def _take_query(ctx: click.Context, query: str) -> None:
    settings = settings_of(ctx)
    if settings.query:
        ctx.fail(f"The query is given twice: {settings.query} and {query}")
    settings.query = query
