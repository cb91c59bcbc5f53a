"""Reads and writes the schema `logs`. Rows do not leave this module."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from asyncpg import Record

from runstream_server.appendstreams import AppendKey, Opening, Outcome, Position, judge
from runstream_server.logs.errors import OffsetGap
from runstream_server.logs.model import LogAppend, LogFile, StoredText
from runstream_server.names import RunName
from runstream_server.postgres import Connection, Postgres

_PAGE_CHUNKS = 1_000
_PAGE_BYTES = 4 * 1024 * 1024


class LogStore:
    """Log files and their bytes."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def create(self, key: AppendKey, writer: str) -> Opening | None:
        """Makes a file that belongs to `writer`; None if there is one."""
        row = await self._postgres.fetchrow(
            """
            INSERT INTO logs.file (workspace, run, path, writer)
            VALUES ($1, $2, $3, $4)
            ON CONFLICT (workspace, run, path) DO NOTHING
            RETURNING epoch, size_bytes
            """,
            key.workspace,
            key.run,
            key.name,
            writer,
        )
        return Opening(key, row["epoch"], row["size_bytes"]) if row else None

    async def open(self, key: AppendKey, writer: str, believed: int) -> Opening | None:
        """Counts up the epoch of a file that belongs to `writer` and has at least `believed` bytes; None otherwise."""
        row = await self._postgres.fetchrow(
            """
            UPDATE logs.file
               SET epoch = epoch + 1
             WHERE workspace = $1 AND run = $2 AND path = $3 AND writer = $4 AND size_bytes >= $5
            RETURNING epoch, size_bytes
            """,
            key.workspace,
            key.run,
            key.name,
            writer,
            believed,
        )
        return Opening(key, row["epoch"], row["size_bytes"]) if row else None

    async def commit(self, appends: Sequence[LogAppend], now: datetime) -> Sequence[Outcome]:
        """Stores what is new of a group and moves its files, in one transaction; says what became of each append."""
        async with self._postgres.transaction() as connection:
            numbers, positions = await _lock_files(connection, appends)
            outcomes, new = judge(appends, positions, OffsetGap)
            await _store_text(connection, new, numbers)
            await _move_files(connection, new, now)
        return outcomes

    async def find(self, run: RunName, paths: Sequence[str]) -> LogFile | None:
        """Returns the first of the paths that is a file."""
        row = await self._postgres.fetchrow(
            """
            SELECT workspace, run, path, file, writer, size_bytes, finished, create_time, update_time
              FROM logs.file
             WHERE workspace = $1 AND run = $2 AND path = ANY($3::text[])
             ORDER BY array_position($3::text[], path)
             LIMIT 1
            """,
            run.workspace,
            run.run,
            paths,
        )
        return _file(row) if row else None

    async def list_files(self, run: RunName, after: str, count: int) -> Sequence[LogFile]:
        """Returns up to `count` files with paths after `after`, in order of path."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run, path, file, writer, size_bytes, finished, create_time, update_time
              FROM logs.file
             WHERE workspace = $1 AND run = $2 AND path > $3
             ORDER BY path
             LIMIT $4
            """,
            run.workspace,
            run.run,
            after,
            count,
        )
        return [_file(row) for row in rows]

    async def read(self, file: LogFile, start: int, end: int) -> Sequence[StoredText]:
        """Returns the first chunks that have bytes from `start` to before `end`, in order, some MiB of them."""
        rows = await self._postgres.fetch(
            """
            SELECT start_offset, size_bytes, content
              FROM (SELECT *, sum(size_bytes) OVER (ORDER BY start_offset) - size_bytes AS before
                      FROM (SELECT start_offset, size_bytes, content
                              FROM logs.chunk
                             WHERE workspace = $1 AND run = $2 AND file = $3 AND start_offset < $5
                               AND start_offset >= (SELECT max(start_offset)
                                                      FROM logs.chunk
                                                     WHERE workspace = $1 AND run = $2 AND file = $3
                                                       AND start_offset <= $4)
                             ORDER BY start_offset
                             LIMIT $6) page) sized
             WHERE before < $7
             ORDER BY start_offset
            """,
            file.run.workspace,
            file.run.run,
            file.number,
            start,
            end,
            _PAGE_CHUNKS,
            _PAGE_BYTES,
        )
        return [StoredText(row["start_offset"], row["size_bytes"], row["content"]) for row in rows]


async def _lock_files(
    connection: Connection, appends: Sequence[LogAppend]
) -> tuple[Mapping[AppendKey, int], Mapping[AppendKey, Position]]:
    """Locks the rows of the files, in the order that all transactions keep; returns their numbers and positions."""
    keys = sorted({append.key for append in appends})
    rows = await connection.fetch(
        """
        SELECT workspace, run, path, file, size_bytes, epoch
          FROM logs.file
          JOIN unnest($1::text[], $2::text[], $3::text[]) AS key (workspace, run, path) USING (workspace, run, path)
         ORDER BY workspace, run, path
           FOR UPDATE OF file
        """,
        [key.workspace for key in keys],
        [key.run for key in keys],
        [key.name for key in keys],
    )
    found = {AppendKey(row["workspace"], row["run"], row["path"]): row for row in rows}
    return (
        {key: row["file"] for key, row in found.items()},
        {key: Position(row["size_bytes"], row["epoch"]) for key, row in found.items()},
    )


async def _store_text(connection: Connection, appends: Sequence[LogAppend], numbers: Mapping[AppendKey, int]) -> None:
    rows = [
        (
            append.key.workspace,
            append.key.run,
            numbers[append.key],
            append.start,
            append.payload.size_bytes,
            append.payload.write_time,
            append.payload.content,
        )
        for append in appends
        if append.payload is not None
    ]
    if rows:
        await connection.copy_records_to_table(
            "chunk",
            schema_name="logs",
            columns=("workspace", "run", "file", "start_offset", "size_bytes", "write_time", "content"),
            records=rows,
        )


async def _move_files(connection: Connection, appends: Sequence[LogAppend], now: datetime) -> None:
    """Moves the sizes of files to the ends of their last appends."""
    if not appends:
        return
    last = {append.key: append for append in appends}
    grown = {append.key for append in appends if append.payload is not None}
    finished = {append.key for append in appends if append.payload is None}
    await connection.execute(
        """
        UPDATE logs.file AS known
           SET size_bytes  = moved.size_bytes,
               finished    = known.finished OR moved.finished,
               create_time = CASE WHEN moved.grown THEN coalesce(known.create_time, $7) ELSE known.create_time END,
               update_time = CASE WHEN moved.grown THEN $7 ELSE known.update_time END
          FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::boolean[], $6::boolean[])
               AS moved (workspace, run, path, size_bytes, grown, finished)
         WHERE (known.workspace, known.run, known.path) = (moved.workspace, moved.run, moved.path)
        """,
        [key.workspace for key in last],
        [key.run for key in last],
        [key.name for key in last],
        [append.end for append in last.values()],
        [key in grown for key in last],
        [key in finished for key in last],
        now,
    )


def _file(row: Record) -> LogFile:
    return LogFile(
        run=RunName(row["workspace"], row["run"]),
        path=row["path"],
        number=row["file"],
        writer=row["writer"],
        size_bytes=row["size_bytes"],
        finished=row["finished"],
        create_time=row["create_time"],
        update_time=row["update_time"],
    )
