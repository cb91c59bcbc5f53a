"""Reads log files and what of them is not sealed. Rows do not leave this module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asyncpg import Record

from runstream_server.logs.chunks import StoredText
from runstream_server.logs.model import LogFile, Mark
from runstream_server.names import RunName
from runstream_server.postgres import Postgres

_PAGE_CHUNKS = 1_000
_FILE = """
    workspace, run, path, file, writer, size_bytes, finished, create_time, update_time, sealed_bytes,
    sealed_line_feeds, expire_time
"""


@dataclass(frozen=True, slots=True)
class FileState:
    """How a file is at a moment."""

    path: str
    size_bytes: int
    finished: bool


class LogStore:
    """Log files and their chunks."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def find(self, run: RunName, paths: Sequence[str]) -> LogFile | None:
        """Returns the first of the paths that is a file."""
        row = await self._postgres.fetchrow(
            f"""
            SELECT {_FILE}
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
        """Returns up to `count` files with paths after `after`, in order of path, without those that were removed."""
        rows = await self._postgres.fetch(
            f"""
            SELECT {_FILE}
              FROM logs.file
             WHERE workspace = $1 AND run = $2 AND path > $3 AND expire_time IS NULL
             ORDER BY path
             LIMIT $4
            """,
            run.workspace,
            run.run,
            after,
            count,
        )
        return [_file(row) for row in rows]

    async def files_after(self, after: tuple[str, str, str], count: int) -> Sequence[LogFile]:
        """Returns up to `count` files with text after a workspace, run and path, of all workspaces, in that order."""
        rows = await self._postgres.fetch(
            f"""
            SELECT {_FILE}
              FROM logs.file
             WHERE (workspace, run, path) > ($1, $2, $3) AND size_bytes > 0 AND expire_time IS NULL
             ORDER BY workspace, run, path
             LIMIT $4
            """,
            *after,
            count,
        )
        return [_file(row) for row in rows]

    async def files_of_runs(
        self, runs: Sequence[RunName], paths: Sequence[str], begin: tuple[int, str], count: int, *, with_begin: bool
    ) -> Sequence[LogFile]:
        """Returns up to `count` files with text of some runs of one workspace, in the order of the runs, then of path.

        No paths: all of them. `begin` is the place of a run and a path: files are wanted that come after it, and that
        file too with `with_begin`.
        """
        rows = await self._postgres.fetch(
            f"""
            SELECT {_FILE}
              FROM logs.file
              JOIN unnest($2::text[]) WITH ORDINALITY AS wanted (run, place) USING (run)
             WHERE workspace = $1 AND (path = ANY($3::text[]) OR $3 = '{{}}'::text[])
               AND ((place - 1, path) > ($4::bigint, $5) OR $6 AND (place - 1, path) = ($4::bigint, $5))
               AND size_bytes > 0 AND expire_time IS NULL
             ORDER BY place, path
             LIMIT $7
            """,
            runs[0].workspace,
            [run.run for run in runs],
            paths,
            *begin,
            with_begin,
            count,
        )
        return [_file(row) for row in rows]

    async def states(self, files: Sequence[tuple[RunName, str]]) -> Mapping[tuple[RunName, str], FileState]:
        """How some files are, by run and path, as far as they are there."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run, path, size_bytes, finished
              FROM logs.file
              JOIN unnest($1::text[], $2::text[], $3::text[]) AS followed (workspace, run, path)
             USING (workspace, run, path)
            """,
            [run.workspace for run, _ in files],
            [run.run for run, _ in files],
            [path for _, path in files],
        )
        return {
            (RunName(row["workspace"], row["run"]), row["path"]): FileState(
                row["path"], row["size_bytes"], row["finished"]
            )
            for row in rows
        }

    async def read(self, file: LogFile, start: int, end: int, page_bytes: int) -> Sequence[StoredText]:
        """Returns the first chunks that have bytes from `start` to before `end`, in order, about `page_bytes` of them.

        The first one may lie beyond `start`, or there may be none: then what is there is sealed.
        """
        rows = await self._postgres.fetch(
            """
            SELECT start_offset, size_bytes, line_feeds, write_time, receive_time, content, checksum
              FROM (SELECT *, sum(size_bytes) OVER (ORDER BY start_offset) - size_bytes AS before
                      FROM (SELECT start_offset, chunk.size_bytes, line_feeds, write_time, receive_time, content,
                                   checksum
                              FROM logs.file
                              JOIN logs.chunk USING (workspace, run, file)
                             WHERE workspace = $1 AND run = $2 AND path = $3 AND start_offset >= sealed_bytes
                               AND start_offset < $5
                               AND start_offset >= (SELECT max(start_offset)
                                                      FROM logs.chunk
                                                     WHERE workspace = $1 AND run = $2 AND file = $4
                                                       AND start_offset <= $6)
                             ORDER BY start_offset
                             LIMIT $7) page) sized
             WHERE before < $8
             ORDER BY start_offset
            """,
            file.run.workspace,
            file.run.run,
            file.path,
            file.number,
            end,
            start,
            _PAGE_CHUNKS,
            page_bytes,
        )
        return [
            StoredText(
                row["start_offset"],
                row["size_bytes"],
                row["line_feeds"],
                row["write_time"],
                row["receive_time"] or row["write_time"],
                row["content"],
                row["checksum"],
            )
            for row in rows
        ]

    async def marks(self, file: LogFile, start: int, end: int) -> Sequence[Mark]:
        """When the bytes from `start` to before `end` were written, as far as they are in chunks."""
        rows = await self._postgres.fetch(
            """
            SELECT start_offset + size_bytes AS end_offset, write_time,
                   coalesce(receive_time, write_time) AS receive_time
              FROM logs.chunk
             WHERE workspace = $1 AND run = $2 AND file = $3 AND start_offset < $5
               AND start_offset >= (SELECT max(start_offset)
                                      FROM logs.chunk
                                     WHERE workspace = $1 AND run = $2 AND file = $3 AND start_offset <= $4)
             ORDER BY start_offset
            """,
            file.run.workspace,
            file.run.run,
            file.number,
            start,
            end,
        )
        return [Mark(row["end_offset"], row["write_time"], row["receive_time"]) for row in rows]

    async def line_feeds_before(self, file: LogFile, start: int) -> int | None:
        """How many line feeds the file has before a chunk that begins at `start`; None if that is sealed."""
        row = await self._postgres.fetchrow(
            """
            SELECT sealed_bytes, sealed_line_feeds + counted.line_feeds AS line_feeds
              FROM logs.file
             CROSS JOIN LATERAL (
                   SELECT coalesce(sum(line_feeds), 0)::bigint AS line_feeds
                     FROM logs.chunk
                    WHERE workspace = $1 AND run = $2 AND chunk.file = file.file
                      AND start_offset >= sealed_bytes AND start_offset < $4) counted
             WHERE workspace = $1 AND run = $2 AND path = $3
            """,
            file.run.workspace,
            file.run.run,
            file.path,
            start,
        )
        return row["line_feeds"] if row and row["sealed_bytes"] <= start else None

    async def chunk_of_line_feed(self, file: LogFile, number: int) -> int | None:
        """Where the chunk begins that has a line feed, counted from 1 in the whole file; None if no chunk has it that
        is not sealed."""
        found: int | None = await self._postgres.fetchval(
            """
            SELECT start_offset
              FROM (SELECT start_offset, line_feeds,
                           sealed_line_feeds + sum(line_feeds) OVER (ORDER BY start_offset) AS line_feeds_after
                      FROM logs.file
                      JOIN logs.chunk USING (workspace, run, file)
                     WHERE workspace = $1 AND run = $2 AND path = $3 AND start_offset >= sealed_bytes) counted
             WHERE line_feeds_after >= $4
             ORDER BY start_offset
             LIMIT 1
            """,
            file.run.workspace,
            file.run.run,
            file.path,
            number,
        )
        return found


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
        sealed_bytes=row["sealed_bytes"],
        sealed_line_feeds=row["sealed_line_feeds"],
        expire_time=row["expire_time"],
    )
