"""Which segments there are, from the intention to write one to its removal. Rows do not leave this module."""

from asyncpg import Record

from runstream_server.logs.model import LogFile
from runstream_server.logs.sealing.model import SealTask, Segment, TimesPlace
from runstream_server.logs.sealing.segment_format import pack_frames, unpack_frames
from runstream_server.logs.sealing.task_store import LEASE
from runstream_server.names import RunName
from runstream_server.postgres import Postgres

_DELETED_CHUNKS = 1_000


class _LostError(Exception):
    """Somebody else is at it, or what was written was taken for abandoned."""


class SegmentStore:
    """Segments of log files."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def begin(self, file: LogFile) -> int:
        """Notes down that a segment is going to be written, so that it is found if its writer dies; its number."""
        return int(
            await self._postgres.fetchval(
                """
                INSERT INTO logs.segment (workspace, run, file, expire_time) VALUES ($1, $2, $3, now() + $4)
                RETURNING segment
                """,
                file.run.workspace,
                file.run.run,
                file.number,
                LEASE,
            )
        )

    async def swap(self, task: SealTask, segment: Segment) -> bool:
        """Makes a segment one that is read. False, nothing being changed, if the claim was lost meanwhile."""
        try:
            await self._swap(task, segment)
        except _LostError:
            return False
        return True

    async def _swap(self, task: SealTask, segment: Segment) -> None:
        place = (task.run.workspace, task.run.run, task.path)
        async with self._postgres.transaction() as connection:
            claimed = await connection.fetchval(
                """
                SELECT true FROM logs.seal_task
                 WHERE workspace = $1 AND run = $2 AND path = $3 AND claim = $4
                   FOR UPDATE
                """,
                *place,
                task.claim,
            )
            if not claimed:
                raise _LostError
            status = await connection.execute(
                """
                UPDATE logs.segment
                   SET state = 'current', expire_time = 'infinity', start_offset = $5, size_bytes = $6,
                       start_line_feeds = $7, line_feeds = $8, frames = $9, times_start = $10, times_bytes = $11,
                       times_crc = $12
                 WHERE workspace = $1 AND run = $2 AND file = $3 AND segment = $4 AND state = 'written'
                """,
                segment.run.workspace,
                segment.run.run,
                segment.file,
                segment.number,
                segment.start_offset,
                segment.size_bytes,
                segment.start_line_feeds,
                segment.line_feeds,
                pack_frames(segment.frames),
                segment.times.start,
                segment.times.stored_bytes,
                segment.times.crc,
            )
            moved = await connection.execute(
                """
                UPDATE logs.file
                   SET sealed_bytes = $5, sealed_line_feeds = $6
                 WHERE workspace = $1 AND run = $2 AND path = $3 AND sealed_bytes = $4 AND expire_time IS NULL
                """,
                *place,
                segment.start_offset,
                segment.end_offset,
                segment.start_line_feeds + segment.line_feeds,
            )
            if (status, moved) != ("UPDATE 1", "UPDATE 1"):
                raise _LostError

    async def delete_sealed_chunks(self, file: LogFile) -> bool:
        """Removes some chunks from Postgres that are sealed or expired; False if there are no more."""
        status = await self._postgres.execute(
            """
            DELETE FROM logs.chunk
             WHERE workspace = $1 AND run = $2 AND file = $3
               AND start_offset IN (SELECT start_offset
                                      FROM logs.chunk
                                     WHERE workspace = $1 AND run = $2 AND file = $3
                                       AND start_offset < (SELECT CASE WHEN expire_time IS NULL
                                                                       THEN sealed_bytes ELSE size_bytes END
                                                             FROM logs.file
                                                            WHERE workspace = $1 AND run = $2 AND path = $4)
                                     ORDER BY start_offset
                                     LIMIT $5)
            """,
            file.run.workspace,
            file.run.run,
            file.number,
            file.path,
            _DELETED_CHUNKS,
        )
        return status == f"DELETE {_DELETED_CHUNKS}"

    async def at_offset(self, file: LogFile, offset: int) -> Segment | None:
        """The current segment that has the byte at an offset."""
        row = await self._postgres.fetchrow(
            """
            SELECT workspace, run, file, segment, start_offset, start_line_feeds, frames, times_start, times_bytes,
                   times_crc
              FROM logs.segment
             WHERE workspace = $1 AND run = $2 AND file = $3 AND state = 'current' AND start_offset <= $4
             ORDER BY start_offset DESC
             LIMIT 1
            """,
            file.run.workspace,
            file.run.run,
            file.number,
            offset,
        )
        segment = _segment(row) if row else None
        return segment if segment is not None and offset < segment.end_offset else None

    async def of_line_feed(self, file: LogFile, number: int) -> Segment | None:
        """The current segment that has a line feed, counted from 1 in the whole file, if a segment has it."""
        row = await self._postgres.fetchrow(
            """
            SELECT workspace, run, file, segment, start_offset, start_line_feeds, frames, times_start, times_bytes,
                   times_crc
              FROM logs.segment
             WHERE workspace = $1 AND run = $2 AND file = $3 AND state = 'current' AND start_line_feeds < $4
             ORDER BY start_line_feeds DESC, start_offset DESC
             LIMIT 1
            """,
            file.run.workspace,
            file.run.run,
            file.number,
            number,
        )
        return _segment(row) if row else None

    async def claim_expired(self) -> tuple[RunName, int, int] | None:
        """Takes a segment that nobody needs any more: from now on it never becomes one that is read.

        Returns:
            The run, the number of the file, and the number of the segment.
        """
        row = await self._postgres.fetchrow(
            """
            UPDATE logs.segment
               SET state = 'removed', expire_time = now() + $1
             WHERE (workspace, run, file, segment) = (SELECT workspace, run, file, segment
                                                        FROM logs.segment
                                                       WHERE expire_time <= now() AND state <> 'current'
                                                       ORDER BY expire_time
                                                       LIMIT 1
                                                         FOR UPDATE SKIP LOCKED)
            RETURNING workspace, run, file, segment
            """,
            LEASE,
        )
        return (RunName(row["workspace"], row["run"]), row["file"], row["segment"]) if row else None

    async def give_up(self, file: LogFile, number: int) -> bool:
        """Says that a segment is given up before it was ever read.

        Returns:
            Whether its object is to be removed now: it was taken for abandoned, and may have come after that was done.
        """
        segment = (file.run.workspace, file.run.run, file.number, number)
        await self._postgres.execute(
            """
            UPDATE logs.segment
               SET expire_time = now()
             WHERE workspace = $1 AND run = $2 AND file = $3 AND segment = $4 AND state = 'written'
            """,
            *segment,
        )
        state = await self._postgres.fetchval(
            "SELECT state FROM logs.segment WHERE workspace = $1 AND run = $2 AND file = $3 AND segment = $4", *segment
        )
        return state not in ("written", "current")

    async def forget(self, run: RunName, file: int, number: int) -> None:
        """Removes what is known of a segment whose object is gone."""
        await self._postgres.execute(
            "DELETE FROM logs.segment WHERE workspace = $1 AND run = $2 AND file = $3 AND segment = $4",
            run.workspace,
            run.run,
            file,
            number,
        )


def _segment(row: Record) -> Segment:
    return Segment(
        RunName(row["workspace"], row["run"]),
        row["file"],
        row["segment"],
        row["start_offset"],
        row["start_line_feeds"],
        unpack_frames(row["frames"]),
        TimesPlace(row["times_start"], row["times_bytes"], row["times_crc"]),
    )
