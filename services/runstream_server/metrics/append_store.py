"""Stores what writers append, and where they stand. Rows do not leave this module."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

import asyncpg

from runstream_server.appendstreams import AppendKey, Committed, Opening, Outcome, Position, Refusal, judge
from runstream_server.metrics.admission import count_of
from runstream_server.metrics.curve_growths import CurveGrowths, helpings, part_curves
from runstream_server.metrics.errors import SequenceGap
from runstream_server.metrics.foresight import Ends, Foresight
from runstream_server.metrics.grouping import SeriesGrowth, Share, arrange_by_series, encode_growths, group_by_series
from runstream_server.metrics.growing import Growths, grow, grow_as_foreseen, store_chunks
from runstream_server.metrics.model import KnownBatch, MetricAppend
from runstream_server.metrics.refusal_store import count_refusals
from runstream_server.metrics.refusals import Problem, refusal
from runstream_server.metrics.series_upsert import NameCounts
from runstream_server.postgres import Connection, Postgres

_SERIES_AT_ONCE = 500
_MUCH_BYTES = 1024 * 1024
_MUCH_BYTES_OF_SERIES = 8 * 1024
_TURN_SECONDS = 1.0
"""How long chunks may lie uncommitted: another process may wait for them that holds locks of the group before."""

_REFUSED_BY_DATABASE = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)


class _UnforeseenError(Exception):
    """Series do not end where they were expected to."""


class AppendStore:
    """The positions of writers, and what they append to series."""

    def __init__(self, postgres: Postgres, stored: Callable[[Growths], None]) -> None:
        """`stored` is told what was committed."""
        self._postgres = postgres
        self._stored = stored
        self._foresight = Foresight()

    async def open_writer(self, key: AppendKey, believed: int, digest: bytes) -> Opening | None:
        """Counts up the epoch of a writer, made if it is new, unless what the client believes contradicts its row."""
        row = await self._postgres.fetchrow(
            """
            INSERT INTO metrics.writer AS known (workspace, run, writer)
            VALUES ($1, $2, $3)
            ON CONFLICT (workspace, run, writer) DO UPDATE
               SET epoch = known.epoch + 1
             WHERE known.position > $4
                OR (known.position = $4 AND ($5 = ''::bytea OR known.digest = ''::bytea OR known.digest = $5))
            RETURNING position, epoch
            """,
            key.workspace,
            key.run,
            key.name,
            believed,
            digest,
        )
        return Opening(key, row["epoch"], row["position"]) if row else None

    async def position(self, key: AppendKey) -> int | None:
        """The sequence of the last durable batch of a writer; None if the writer is not known."""
        position: int | None = await self._postgres.fetchval(
            "SELECT position FROM metrics.writer WHERE workspace = $1 AND run = $2 AND writer = $3",
            key.workspace,
            key.run,
            key.name,
        )
        return position

    async def make_writer(self, key: AppendKey) -> None:
        """Makes a writer unless it is there; fences nobody."""
        await self._postgres.execute(
            "INSERT INTO metrics.writer (workspace, run, writer) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            key.workspace,
            key.run,
            key.name,
        )

    async def commit(self, appends: Sequence[MetricAppend]) -> Sequence[Outcome]:
        """Stores what is new of a group and moves its writers, in one transaction; says what became of each append."""
        growths = await _grouped(appends)
        self._foresight.advance(growths.single)
        self._foresight.forget_places(growths.curves.places)
        try:
            async with self._postgres.transaction() as connection:
                positions, names = await _lock_writers(connection, appends)
                outcomes, new = judge(appends, positions, SequenceGap)
                as_foreseen = len(new) == len(appends)
                if not as_foreseen:
                    self._foresight.forget(growths.single)
                    growths = await _grouped(new)
                problems, ends = await grow(connection, growths, names)
                refused = _refusals(problems)
                await count_refusals(connection, chain(_known_refusals(new), refused))
                await _move_writers(connection, new)
        except BaseException:
            self._foresight.forget(growths.single)
            raise
        if refused or not as_foreseen:
            self._foresight.forget(growths.single)
        elif sum(append.size_bytes for append in appends) >= min(_MUCH_BYTES, _MUCH_BYTES_OF_SERIES * len(ends)):
            self._foresight.learn(ends)
        self._stored(growths)
        return _with_refusals(appends, outcomes, refused)

    async def commit_ahead(
        self, appends: Sequence[MetricAppend], turn: Callable[[], Awaitable[object]]
    ) -> Sequence[Outcome] | None:
        """Does what `commit` does, but stores the chunks before the turn of the group, where they are expected to lie.

        What it expects it verifies under the locks of writers and series, taken when it is its turn. If it was wrong,
        or cannot say, or the turn does not come, nothing is stored and it returns None.
        """
        if any(isinstance(append.payload, KnownBatch) for append in appends):
            return None
        growths = arrange_by_series(appends)
        if not self._foresight.knows(growths) or any(growth.others for growth in growths):
            return None
        encode_growths(growths)
        ends = self._foresight.advance(growths)
        try:
            return await self._commit_foreseen(appends, growths, ends or {}, turn)
        except (_UnforeseenError, asyncpg.UniqueViolationError):
            self._foresight.forget(growths, shared=True)
            return None
        except BaseException:
            self._foresight.forget(growths)
            raise

    async def _commit_foreseen(
        self,
        appends: Sequence[MetricAppend],
        growths: Sequence[SeriesGrowth],
        ends: Ends,
        turn: Callable[[], Awaitable[object]],
    ) -> Sequence[Outcome]:
        async with self._postgres.transaction() as connection:
            await store_chunks(connection, growths, ends)
            try:
                async with asyncio.timeout(_TURN_SECONDS):
                    await turn()
            except TimeoutError:
                raise _UnforeseenError from None
            positions, _ = await _lock_writers(connection, appends)
            outcomes, new = judge(appends, positions, SequenceGap)
            if len(new) != len(appends) or not await grow_as_foreseen(connection, growths, ends):
                raise _UnforeseenError
            await count_refusals(connection, _known_refusals(new))
            await _move_writers(connection, new)
        self._stored(Growths(growths, CurveGrowths()))
        return outcomes

    async def commit_one_by_one(self, append: MetricAppend) -> Outcome:
        """Stores what the database takes of an append that it refused as a whole: series by series."""
        refused: list[tuple[Share, Problem]] = []
        async with self._postgres.transaction() as connection:
            positions, names = await _lock_writers(connection, [append])
            outcomes, new = judge([append], positions, SequenceGap)
            for growth in group_by_series(new):
                try:
                    async with connection.transaction():
                        refused.extend((await grow(connection, Growths([growth], CurveGrowths()), names))[0])
                except _REFUSED_BY_DATABASE as error:
                    problem = "UNSTORABLE", f"the database refuses it: {error}"
                    refused.extend((share, problem) for share in (*growth.shares, *growth.others))
            refusals = _refusals(refused)
            await count_refusals(connection, chain(_known_refusals(new), refusals))
            await _move_writers(connection, new)
        return _with_refusals([append], outcomes, refusals)[0]


async def _grouped(appends: Sequence[MetricAppend]) -> Growths:
    """What the appends do to each series, if all of them are new.

    What is large is encoded already. With the many small steps of what is left a thread would wait for the interpreter
    again and again, several times as long as they take; so they are taken here, with room for others in between.
    """
    of_curves, others = part_curves(appends)
    curves = CurveGrowths()
    for some in helpings(of_curves):
        await asyncio.sleep(0)
        curves.extend(some)
    growths = arrange_by_series(others)
    for begin in range(0, len(growths), _SERIES_AT_ONCE):
        await asyncio.sleep(0)
        encode_growths(growths[begin : begin + _SERIES_AT_ONCE])
    return Growths(growths, curves)


def _known_refusals(appends: Iterable[MetricAppend]) -> Iterator[tuple[MetricAppend, Refusal]]:
    """What was refused before the database was asked."""
    return ((append, each) for append in appends for each in append.refusals)


def _refusals(refused: Iterable[tuple[Share, Problem]]) -> Sequence[tuple[MetricAppend, Refusal]]:
    return [
        (append, refusal(append.end, piece.metric, problem, count_of(piece))) for (append, piece), problem in refused
    ]


def _with_refusals(
    appends: Sequence[MetricAppend], outcomes: Sequence[Outcome], refused: Iterable[tuple[MetricAppend, Refusal]]
) -> Sequence[Outcome]:
    """Adds to each outcome what was refused of its append."""
    added: dict[tuple[AppendKey, int], list[Refusal]] = {}
    for append, each in refused:
        added.setdefault((append.key, append.end), []).append(each)
    if not added:
        return outcomes
    return [
        outcome._replace(refusals=[*outcome.refusals, *added.get((append.key, append.end), ())])
        if isinstance(outcome, Committed)
        else outcome
        for append, outcome in zip(appends, outcomes, strict=True)
    ]


async def _lock_writers(
    connection: Connection, appends: Sequence[MetricAppend]
) -> tuple[Mapping[AppendKey, Position], NameCounts]:
    """Locks the rows of the writers, in the order that all transactions keep; sees how many series their runs have."""
    keys = sorted({append.key for append in appends})
    rows = await connection.fetch(
        """
        SELECT workspace, run, writer, position, epoch, series_count
          FROM metrics.writer
          JOIN unnest($1::text[], $2::text[], $3::text[]) AS key (workspace, run, writer) USING (workspace, run, writer)
          LEFT JOIN metrics.name_count USING (workspace, run)
         ORDER BY workspace, run, writer
           FOR UPDATE OF writer
        """,
        [key.workspace for key in keys],
        [key.run for key in keys],
        [key.name for key in keys],
    )
    positions = {
        AppendKey(row["workspace"], row["run"], row["writer"]): Position(row["position"], row["epoch"]) for row in rows
    }
    return positions, {(row["workspace"], row["run"]): row["series_count"] or 0 for row in rows}


async def _move_writers(connection: Connection, appends: Sequence[MetricAppend]) -> None:
    """Moves the positions of writers to the ends of their last appends."""
    if not appends:
        return
    last = {append.key: append for append in appends}
    digests = {append.key: append.payload.digest for append in appends if append.payload is not None}
    finished = {append.key for append in appends if append.payload is None}
    await connection.execute(
        """
        UPDATE metrics.writer AS known
           SET position = moved.position,
               digest   = coalesce(moved.digest, known.digest),
               finished = known.finished OR moved.finished,
               hot      = known.hot OR moved.position <> known.position
          FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::boolean[])
               AS moved (workspace, run, writer, position, digest, finished)
         WHERE (known.workspace, known.run, known.writer) = (moved.workspace, moved.run, moved.writer)
        """,
        [key.workspace for key in last],
        [key.run for key in last],
        [key.name for key in last],
        [append.end for append in last.values()],
        [digests.get(key) for key in last],
        [key in finished for key in last],
    )
