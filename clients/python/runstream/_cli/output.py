"""Shows results on stdout: as JSON, JSON in colour, a table, tab-separated values, YAML, or not at all."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from runstream._cli.query import Query, compile_query

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

View = Callable[[Any, int], "RenderableType"]
"""Makes something to look at from a result, for a terminal with so many columns."""

UNLIMITED = 10_000
"""Columns of an output that is no terminal."""


class Output:
    """How results are shown."""

    def __init__(self, how: str | None, query: str | None) -> None:
        """`how` is one of `OUTPUT_FORMATS`; None: a table when stdout is a terminal, else JSON.

        Raises:
            click.UsageError: The query cannot be understood.
        """
        self.how = how or ("table" if sys.stdout.isatty() else "json")
        self._query: Query | None = compile_query(query) if query else None

    @property
    def is_picture(self) -> bool:
        """Whether a table can be drawn over and over again in the same place."""
        return self.how == "table" and sys.stdout.isatty() and self._query is None

    def show(self, result: Any, view: View | None = None) -> None:
        """Writes a result, which consists of what JSON knows.

        `view` makes the table of it. Default: one that suits its shape, as for what a query selects.
        """
        if self._query:
            result, view = self._query(result), None
        match self.how:
            case "json":
                click.echo(to_json(result))
            case "jsonc":
                console().print_json(to_json(result))
            case "yaml":
                click.echo(_to_yaml(result), nl=False)
            case "tsv":
                for line in _to_tsv(result):
                    click.echo(line)
            case "table":
                show_table(result, view)

    def show_line(self, result: Any) -> None:
        """Writes one of a series of results that come one after the other; each a line where the format allows it."""
        if self._query:
            result = self._query(result)
        match self.how:
            case "json" | "jsonc" | "table":
                click.echo(json.dumps(result, ensure_ascii=False, allow_nan=False))
            case "yaml":
                click.echo(f"---\n{_to_yaml(result)}", nl=False)
            case "tsv":
                click.echo(
                    "\t".join(map(_to_tsv_cell, result)) if isinstance(result, list) else next(iter(_to_tsv([result])))
                )


def write_bytes(data: bytes) -> None:
    """Writes bytes to stdout as they are, at once."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def console() -> "Console":
    """Where things to look at are printed: stdout, without a limit of width if it is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else UNLIMITED, highlight=False, soft_wrap=False)


def show_table(result: Any, view: View | None) -> None:
    """Prints a result as `view` makes it, or as suits its shape; of an empty list nothing."""
    from runstream._cli.tables import of_any_shape

    if result == []:
        return
    screen = console()
    screen.print((view or of_any_shape)(result, screen.width))


def to_json(value: Any) -> str:
    """Standard JSON on several lines; numbers that JSON has no word for become the texts of protobuf's JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def _to_yaml(value: Any) -> str:
    import yaml

    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return text.removesuffix("...\n")


def _to_tsv(value: Any) -> Iterable[str]:
    for row in value if isinstance(value, list) else [value]:
        match row:
            case Mapping():
                yield "\t".join(_to_tsv_cell(cell) for cell in row.values())
            case list():
                yield "\t".join(_to_tsv_cell(cell) for cell in row)
            case _:
                yield _to_tsv_cell(row)


def _to_tsv_cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
