"""Tables for people: they fit the width of the terminal, and what is meant to be copied is never cut."""

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runstream._cli.output import View

GAP = 2
NARROW = 12
"""How narrow a column may become that can be cut."""

DIM = "bright_black"


@dataclass(frozen=True)
class Column:
    """A column of a listing."""

    title: str
    cell: Callable[[Any], Any]
    """Makes the cell of a row; an empty cell in all rows leaves the column out."""

    rank: int = 0
    """0: always shown. Others are shown as far as they fit, those of a lower rank first."""

    can_be_cut: bool = False
    is_number: bool = False


def listing(*columns: Column) -> View:
    """A table with a row per item."""

    def view(rows: Any, width: int) -> RenderableType:
        cells = {column.title: [to_text(column.cell(row)) for row in rows] for column in columns}
        filled = [column for column in columns if any(cells[column.title])]
        shown, widths = fit(
            filled, {column.title: _widest(column.title, cells[column.title]) for column in filled}, width
        )
        table = _empty_table()
        for column in shown:
            _add_column(table, column, widths[column.title])
        for row in zip(*(cells[column.title] for column in shown), strict=True):
            table.add_row(*row)
        return table

    return view


def fields(*columns: Column) -> View:
    """A line per column, its title first, for one item; lines without a value are left out."""

    def view(item: Any, width: int) -> RenderableType:
        return _lines([(column.title, to_text(column.cell(item))) for column in columns])

    return view


def fit(columns: Sequence[Column], widest: Mapping[str, int], width: int) -> tuple[list[Column], dict[str, int]]:
    """Which columns are shown in `width`, and how wide each is; `widest` has how wide each wants to be."""
    chosen = [column for column in columns if not column.rank]
    for column in sorted((column for column in columns if column.rank), key=lambda column: column.rank):
        if _least([*chosen, column], widest) <= width:
            chosen.append(column)
    shown = [column for column in columns if column in chosen]
    spare = width - _least(shown, widest)
    widths = {}
    for column in shown:
        least = _least_of(column, widest)
        widths[column.title] = least + max(0, min(spare, widest[column.title] - least))
        spare -= widths[column.title] - least
    return shown, {title: min(each, max(width, 1)) for title, each in widths.items()}


def of_any_shape(value: Any, width: int) -> RenderableType:
    """A table of something whose shape nobody knows beforehand; a row per object of a list."""
    match value:
        case [Mapping(), *others] if all(isinstance(other, Mapping) for other in others):
            return _of_objects(value, width)
        case [*items]:
            return Group(*(to_text(item) for item in items))
        case Mapping():
            return _lines([(str(key), to_text(item)) for key, item in value.items()])
        case None:
            return Text()
    return to_text(value)


def to_text(value: Any) -> Text:
    """A value as text that cannot disturb the terminal; lists and objects as JSON, nothing as nothing."""
    match value:
        case Text():
            return value
        case None:
            return Text()
        case str():
            return Text("".join(map(_harmless, value)))
    return Text("".join(map(_harmless, json.dumps(value, ensure_ascii=False))))


def _of_objects(rows: Sequence[Mapping[str, Any]], width: int) -> RenderableType:
    """A table if the objects are narrow enough for that, else one after the other."""
    cells = {key: [to_text(row.get(key)) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}
    columns = [Column(key, itemgetter(key), can_be_cut=any(map(_is_prose, cells[key]))) for key in cells]
    widest = {key: _widest(key, texts) for key, texts in cells.items()}
    if _least(columns, widest) > width:
        return Group(*(part for row in rows for part in (of_any_shape(row, width), Text())))
    _, widths = fit(columns, widest, width)
    table = _empty_table()
    for column in columns:
        table.add_column(to_text(column.title), width=widths[column.title], overflow="fold")
    for texts in zip(*cells.values(), strict=True):
        table.add_row(*texts)
    return table


def _is_prose(text: Text) -> bool:
    return any(character.isspace() for character in text.plain)


def _lines(pairs: Iterable[tuple[str, Text]]) -> RenderableType:
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in pairs:
        if text:
            table.add_row(to_text(title), text)
    return table


def _empty_table() -> Table:
    return Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")


def _add_column(table: Table, column: Column, width: int) -> None:
    table.add_column(
        column.title,
        width=width,
        justify="right" if column.is_number else "left",
        no_wrap=column.can_be_cut,
        overflow="ellipsis" if column.can_be_cut else "fold",
    )


def _widest(title: str, texts: Sequence[Text]) -> int:
    return max(cell_len(title), *(max(map(cell_len, text.plain.split("\n"))) for text in texts), 0)


def _least(columns: Sequence[Column], widest: Mapping[str, int]) -> int:
    return sum(_least_of(column, widest) for column in columns) + GAP * max(len(columns) - 1, 0)


def _least_of(column: Column, widest: Mapping[str, int]) -> int:
    return min(NARROW, widest[column.title]) if column.can_be_cut else widest[column.title]


def _harmless(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) != "Cc":
        return character
    return character.encode("unicode_escape").decode("ascii")
