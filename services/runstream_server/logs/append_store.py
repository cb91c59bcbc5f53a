"""Stores what writers append to log files, and where they stand. Rows do not leave this module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from asyncpg import Record

from runstream_server.appendstreams import AppendKey, Opening, Outcome, Position, judge
from runstream_server.envelope import checksum_of
from runstream_server.logs.errors import LogExpired, OffsetGap
from runstream_server.logs.model import LogAppend
from runstream_server.postgres import Connection, Postgres

_COLUMNS = (
    "workspace",
    "run",
    "file",
    "start_offset",
    "size_bytes",
    "line_feeds",
    "write_time",
    "receive_time",
    "content",
    "checksum",
)


@dataclass(frozen=True, slots=True)
class Growth:
    """A file that grew, as it is after the commit."""

    key: AppendKey
    unsealed_bytes: int


class LogAppendStore:
    """The positions of log files, and what is appended to them."""

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

    async def commit(self, appends: Sequence[LogAppend], now: datetime) -> tuple[Sequence[Outcome], Sequence[Growth]]:
        """Stores what is new of a group and moves its files, in one transaction.

        Returns:
            What became of each append, and the files that grew.
        """
        async with self._postgres.transaction() as connection:
            rows = await _lock_files(connection, appends)
            kept = {key: Position(row["size_bytes"], row["epoch"]) for key, row in rows.items() if not row["expired"]}
            outcomes, new = judge(
                [each for each in appends if each.key in kept or each.key not in rows], kept, OffsetGap
            )
            await _store_text(connection, new, rows)
            await _move_files(connection, new, now)
        return _with_expired(appends, outcomes, rows), _growths(new, rows)


def _with_expired(
    appends: Sequence[LogAppend], judged: Sequence[Outcome], rows: Mapping[AppendKey, Record]
) -> Sequence[Outcome]:
    """The outcomes of all appends, of which those to removed files were not judged."""
    if len(judged) == len(appends):
        return judged
    outcomes = iter(judged)
    return [
        LogExpired(each.key.run_name, each.key.name)
        if each.key in rows and rows[each.key]["expired"]
        else next(outcomes)
        for each in appends
    ]


def _growths(new: Sequence[LogAppend], rows: Mapping[AppendKey, Record]) -> Sequence[Growth]:
    ends = {append.key: append.end for append in new if append.payload is not None}
    return [Growth(key, end - rows[key]["sealed_bytes"]) for key, end in ends.items()]


async def _lock_files(connection: Connection, appends: Sequence[LogAppend]) -> Mapping[AppendKey, Record]:
    """Locks the rows of the files, in the order that all transactions keep."""
    keys = sorted({append.key for append in appends})
    rows = await connection.fetch(
        """
        SELECT workspace, run, path, file, size_bytes, sealed_bytes, epoch, expire_time IS NOT NULL AS expired
          FROM logs.file
          JOIN unnest($1::text[], $2::text[], $3::text[]) AS key (workspace, run, path) USING (workspace, run, path)
         ORDER BY workspace, run, path
           FOR UPDATE OF file
        """,
        [key.workspace for key in keys],
        [key.run for key in keys],
        [key.name for key in keys],
    )
    return {AppendKey(row["workspace"], row["run"], row["path"]): row for row in rows}


async def _store_text(connection: Connection, appends: Sequence[LogAppend], rows: Mapping[AppendKey, Record]) -> None:
    records = [
        (
            append.key.workspace,
            append.key.run,
            rows[append.key]["file"],
            append.start,
            append.payload.size_bytes,
            append.payload.line_feeds,
            append.payload.write_time,
            append.payload.receive_time,
            append.payload.content,
            checksum_of(append.payload.content),
        )
        for append in appends
        if append.payload is not None
    ]
    if records:
        await connection.copy_records_to_table("chunk", schema_name="logs", columns=_COLUMNS, records=records)


async def _move_files(connection: Connection, appends: Sequence[LogAppend], now: datetime) -> None:
    """Moves the sizes of files to the ends of their last appends."""
    if not appends:
        return
    last = {append.key: append for append in appends}
    grown = {append.key for append in appends if append.payload is not None}
    await connection.execute(
        """
        UPDATE logs.file AS known
           SET size_bytes  = moved.size_bytes,
               finished    = moved.finished,
               hot         = known.hot OR moved.grown,
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
        [append.payload is None for append in last.values()],
        now,
    )
