"""Chunks that are stored before their series are locked: as if they had been stored in their turn, or not at all."""

import asyncio
from collections.abc import Sequence

import asyncpg
import numpy as np
import pytest

from runstream_server.appendstreams import Append, AppendKey, Committed
from runstream_server.metrics.append_store import AppendStore
from runstream_server.metrics.chunks import decode_points
from runstream_server.metrics.encoding import encode_chunk
from runstream_server.metrics.model import Kind, MetricAppend, MetricBatch, Points, Segment, SeriesKind, SeriesPiece
from runstream_server.postgres import Postgres

POINTS = 2_500
MUCH = 2 * 1024 * 1024
METRICS = ("loss", "accuracy")


def batch(
    number: int, *, writer: str = "w", epoch: int = 1, metrics: Sequence[str] = METRICS, size_bytes: int = MUCH
) -> MetricAppend:
    """The batch with this number of a writer; its values say which one it is."""
    steps = np.arange(number * POINTS, (number + 1) * POINTS)
    values = np.full(POINTS, float(number))
    points = Points(steps, steps * 1_000, [Segment(Kind.DOUBLE, POINTS, values)])
    pieces = [SeriesPiece(metric, "", SeriesKind.VALUES, (), encode_chunk(points)) for metric in metrics]
    return Append(AppendKey("space", "run", writer), epoch, number - 1, number, size_bytes, MetricBatch(b"", pieces))


async def opened(postgres: Postgres, writer: str = "w") -> AppendStore:
    store = AppendStore(postgres, lambda _: None)
    await store.open_writer(AppendKey("space", "run", writer), 0, b"")
    return store


async def now() -> None:
    """The turn has come."""


async def stored(postgres: Postgres, metric: str = "loss") -> list[int]:
    """Which batches a series consists of, in order; its chunks join on without gap."""
    rows = await postgres.fetch(
        """
        SELECT start_index, chunk.point_count, chunk.columns, series.point_count AS total
          FROM metrics.chunk JOIN metrics.series USING (workspace, run, series)
         WHERE metric = $1
         ORDER BY start_index
        """,
        metric,
    )
    assert [row["start_index"] for row in rows] == [place * POINTS for place in range(len(rows))]
    assert {row["total"] for row in rows} == {len(rows) * POINTS}
    return [int(decode_points(row["columns"]).segments[0].array[0]) for row in rows]


async def test_what_is_stored_ahead_lies_where_it_would_have(postgres: Postgres) -> None:
    store = await opened(postgres)
    await store.commit([batch(1)])

    assert await store.commit_ahead([batch(2), batch(3)], now) == [Committed(2), Committed(3)]
    assert await store.commit_ahead([batch(4)], now) == [Committed(4)]
    assert await store.commit([batch(5)]) == [Committed(5)]
    assert await stored(postgres) == [1, 2, 3, 4, 5]
    assert await store.position(AppendKey("space", "run", "w")) == 5


async def test_nothing_is_visible_before_its_turn(postgres: Postgres) -> None:
    store = await opened(postgres)
    await store.commit([batch(1)])
    waits, turn = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        waits.set()
        await turn.wait()

    ahead = asyncio.create_task(store.commit_ahead([batch(2)], wait))
    await waits.wait()
    assert await stored(postgres) == [1]
    turn.set()

    assert await ahead == [Committed(2)]
    assert await stored(postgres) == [1, 2]


@pytest.mark.parametrize(("size_bytes", "known"), [(2 * 8_192, True), (2 * 8_192 - 1, False)])
async def test_series_are_known_once_a_group_has_much_of_each(postgres: Postgres, size_bytes: int, known: bool) -> None:
    store = await opened(postgres)
    await store.commit([batch(1, size_bytes=size_bytes)])

    assert (await store.commit_ahead([batch(2)], now) == [Committed(2)]) is known


async def test_series_that_are_not_known_are_left_to_their_turn(postgres: Postgres) -> None:
    store = await opened(postgres)

    assert await store.commit_ahead([batch(1)], now) is None
    assert await store.commit([batch(1)]) == [Committed(1)]
    assert await store.commit_ahead([batch(2, metrics=[*METRICS, "new"])], now) is None
    assert await stored(postgres) == [1]


async def test_a_series_to_which_another_process_appends_is_left_to_its_turn(postgres: Postgres) -> None:
    store, other = await opened(postgres), await opened(postgres, "other")
    await store.commit([batch(1)])
    await other.commit([batch(1, writer="other", metrics=["accuracy"])])

    assert await store.commit_ahead([batch(2)], now) is None
    assert await stored(postgres, "accuracy") == [1, 1]
    assert await store.commit([batch(2)]) == [Committed(2)]
    assert await stored(postgres, "accuracy") == [1, 1, 2]
    assert await store.commit_ahead([batch(3)], now) is None  # it was wrong once


async def test_what_is_durable_already_is_not_stored_again(postgres: Postgres) -> None:
    store = await opened(postgres)
    await store.commit([batch(1), batch(2)])

    assert await store.commit_ahead([batch(2), batch(3)], now) is None
    assert await store.commit([batch(2), batch(3)]) == [Committed(2), Committed(3)]
    assert await stored(postgres) == [1, 2, 3]


async def test_an_older_stream_stores_nothing_ahead(postgres: Postgres) -> None:
    store = await opened(postgres)
    await store.commit([batch(1)])
    await store.open_writer(AppendKey("space", "run", "w"), 1, b"")

    assert await store.commit_ahead([batch(2)], now) is None
    assert await stored(postgres) == [1]


async def test_it_gives_way_when_its_turn_does_not_come(postgres: Postgres) -> None:
    store = await opened(postgres)
    await store.commit([batch(1)])

    assert await store.commit_ahead([batch(2)], asyncio.Event().wait) is None
    assert await store.commit([batch(2)]) == [Committed(2)]
    assert await stored(postgres) == [1, 2]


async def test_after_a_failure_nothing_wrong_is_expected(postgres: Postgres) -> None:
    store = await opened(postgres)
    await store.commit([batch(1)])
    with pytest.raises(asyncpg.PostgresError):
        await store.commit([batch(2, metrics=["loss", "\0"])])

    assert await store.commit([batch(2)]) == [Committed(2)]
    assert await store.commit_ahead([batch(3)], now) == [Committed(3)]
    assert await stored(postgres) == [1, 2, 3]
