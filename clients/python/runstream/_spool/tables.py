"""Writes and reads the records of rows; `runstream._spool.format` says what they look like."""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from runstream._spool.format import TABLE
from runstream._spool.records import Column, decode_column, encode_column, frame

MAX_COLUMNS: Final = 250
"""Of a table, as the contract says."""

_TABLE_HEAD = struct.Struct("<BIqIH")
_COLUMN_HEAD = struct.Struct("<BHI")


class Cells(NamedTuple):
    """The cells of one column of consecutive rows, all of one kind."""

    name: str
    kind: int
    column: Column


class Rows(NamedTuple):
    """Consecutive rows that have the same columns, of the same kinds."""

    row_count: int
    columns: Sequence[Cells]


class RowsRecord(NamedTuple):
    """What a TABLE record holds."""

    id: int
    time: int
    rows: Rows


def rows_record(id_: int, time: int, rows: Rows) -> bytes:
    """A TABLE record."""
    parts = [_TABLE_HEAD.pack(TABLE, id_, time, rows.row_count, len(rows.columns))]
    for name, kind, column in rows.columns:
        encoded, cells = name.encode(), encode_column(column)
        parts += (_COLUMN_HEAD.pack(kind, len(encoded), len(cells)), encoded, cells)
    return frame(b"".join(parts))


def decode_rows(body: bytes) -> RowsRecord:
    """The rows of a TABLE record."""
    _, id_, time, row_count, column_count = _TABLE_HEAD.unpack_from(body)
    columns, at = [], _TABLE_HEAD.size
    for _ in range(column_count):
        kind, name_bytes, cells_bytes = _COLUMN_HEAD.unpack_from(body, at)
        start = at + _COLUMN_HEAD.size
        at = start + name_bytes + cells_bytes
        name = body[start : start + name_bytes].decode()
        columns.append(Cells(name, kind, decode_column(kind, row_count, body[start + name_bytes : at])))
    return RowsRecord(id_, time, Rows(row_count, columns))
