"""Batches of a few numbers that are stored many at once: as if each had been stored by itself."""

from collections.abc import Sequence

import numpy as np

from runstream_server.appendstreams import Append, AppendKey, Committed, Outcome
from runstream_server.metrics.append_store import AppendStore
from runstream_server.metrics.chunks import decode_points
from runstream_server.metrics.layouts import layout_of
from runstream_server.metrics.model import (
    Kind,
    KnownBatch,
    MetricAppend,
    MetricBatch,
    Points,
    Segment,
    SeriesKind,
    SeriesPiece,
)
from runstream_server.metrics.tables import Table, TableColumn
from runstream_server.postgres import Postgres
from tests.load.metric_writers import series_bytes

METRICS = ("b", "a")


def key(run: str, writer: str = "w") -> AppendKey:
    return AppendKey("space", run, writer)


def curves(run: str, *counts: int, number: int = 1, value: float = 1.0, writer: str = "w") -> MetricAppend:
    """A batch of `a` and `b`, recognised; its steps are those of its number."""
    columns = [(name, _points(number, count, value)) for name, count in zip(METRICS, counts, strict=True)]
    batch = KnownBatch(b"digest", layout_of(METRICS, counts, True), series_bytes(columns))
    return Append(key(run, writer), 1, number - 1, number, 100, batch)


def rows(run: str, *metrics: str) -> MetricAppend:
    """A batch that makes tables."""
    table = Table(1, [TableColumn("x", Segment(Kind.DOUBLE, 1, np.array([5.0])))])
    points = Points(None, np.array([7]), (Segment(Kind.TABLE, 1, table),))
    pieces = [SeriesPiece(metric, "", SeriesKind.TABLE, ("x",), points) for metric in metrics]
    return Append(key(run), 1, 0, 1, 100, MetricBatch(b"", pieces))


def _points(number: int, count: int, value: float) -> Points:
    steps = np.arange(number * 100, number * 100 + count)
    return Points(steps, steps * 1_000, (Segment(Kind.DOUBLE, count, np.full(count, value)),))


async def opened(postgres: Postgres, *keys: AppendKey) -> AppendStore:
    store = AppendStore(postgres, lambda _: None)
    for each in keys:
        await store.open_writer(each, 0, b"")
    return store


async def steps(postgres: Postgres, run: str, metric: str) -> list[int]:
    """The steps of a series, whose chunks join on without gap and are as many values as its summary says."""
    found = await postgres.fetch(
        """
        SELECT start_index, chunk.point_count, chunk.size_bytes, chunk.columns, checksum, series.point_count AS total
          FROM metrics.chunk JOIN metrics.series USING (workspace, run, series)
         WHERE run = $1 AND metric = $2
         ORDER BY start_index
        """,
        run,
        metric,
    )
    points = [decode_points(row["columns"]) for row in found]
    counts = [each.count for each in points]
    assert [row["start_index"] for row in found] == [sum(counts[:place]) for place in range(len(counts))]
    assert all(row["total"] == sum(counts) for row in found)
    assert all(row["columns"].endswith(row["checksum"]) for row in found)
    return [int(step) for each in points if each.steps is not None for step in each.steps]


def reasons(outcomes: Sequence[Outcome]) -> list[list[tuple[str, str]]]:
    committed = [each for each in outcomes if isinstance(each, Committed)]
    assert len(committed) == len(outcomes)
    return [[(refusal.metric, refusal.reason) for refusal in each.refusals] for each in committed]


async def test_batches_of_many_runs_are_stored_together(postgres: Postgres) -> None:
    store = await opened(postgres, *map(key, ("r1", "r2", "r3")))

    await store.commit([curves("r3", 2, 2), curves("r1", 3, 1), curves("r2", 2, 2)])
    await store.commit([curves("r1", 1, 1, number=2), curves("r3", 70, 2, number=2)])

    assert await steps(postgres, "r1", "b") == [100, 101, 102, 200]
    assert await steps(postgres, "r1", "a") == [100, 200]
    assert await steps(postgres, "r2", "b") == [100, 101]
    assert await steps(postgres, "r3", "b") == [100, 101, *range(200, 270)]
    assert await steps(postgres, "r3", "a") == [100, 101, 200, 201]
    assert await store.position(key("r1")) == 2


async def test_summaries_are_those_of_the_values(postgres: Postgres) -> None:
    store = await opened(postgres, key("r"))

    await store.commit([curves("r", 1, 2, value=float("nan"))])
    nothing = await postgres.fetchrow("SELECT last, min, max, first_time FROM metrics.series WHERE metric = 'a'")
    await store.commit([curves("r", 1, 2, number=2, value=-2.5)])
    something = await postgres.fetchrow("SELECT last, min, max, first_time FROM metrics.series WHERE metric = 'a'")

    assert nothing is not None
    assert (np.isnan(nothing["last"]), *nothing[1:]) == (True, None, None, 100_000)
    assert something is not None
    assert tuple(something) == (-2.5, -2.5, -2.5, 100_000)


async def test_a_series_that_cannot_take_numbers_refuses_them_alone(postgres: Postgres) -> None:
    store = await opened(postgres, *map(key, ("r1", "r2", "r3")))
    await store.commit([rows("r2", "a")])

    outcomes = await store.commit([curves("r1", 2, 2), _second(curves("r2", 2, 2)), curves("r3", 2, 2)])

    assert reasons(outcomes) == [[], [("a", "MIXED_KINDS")], []]
    assert await steps(postgres, "r2", "b") == [100, 101]
    assert await steps(postgres, "r1", "a") == await steps(postgres, "r3", "a") == [100, 101]


async def test_whatever_else_is_in_the_group_is_stored_as_well(postgres: Postgres) -> None:
    store = await opened(postgres, *map(key, ("r1", "r2", "r3")), key("r1", "v"))

    outcomes = await store.commit(
        [curves("r1", 1, 1), rows("r2", "a", "t"), curves("r1", 1, 1, writer="v", value=2.0), curves("r3", 2, 2)]
    )

    assert reasons(outcomes) == [[], [], [], []]
    assert await steps(postgres, "r1", "a") == [100, 100]
    assert await steps(postgres, "r3", "a") == [100, 101]
    assert await postgres.fetchval("SELECT count(*) FROM metrics.series WHERE kind = 2") == 2


async def test_what_is_known_already_is_not_stored_again(postgres: Postgres) -> None:
    store = await opened(postgres, *map(key, ("r1", "r2")))
    await store.commit([curves("r1", 1, 1)])

    assert await store.commit([curves("r1", 1, 1), curves("r2", 1, 1)]) == [Committed(1), Committed(1)]

    assert await steps(postgres, "r1", "a") == await steps(postgres, "r2", "a") == [100]


async def test_names_are_counted(postgres: Postgres) -> None:
    store = await opened(postgres, *map(key, ("r1", "r2")))

    await store.commit([curves("r1", 1, 1), curves("r2", 1, 1)])
    await store.commit([curves("r1", 1, 1, number=2)])

    assert [tuple(row) for row in await postgres.fetch("SELECT run, series_count FROM metrics.name_count")] == [
        ("r1", 2),
        ("r2", 2),
    ]


async def test_a_run_without_room_for_more_names_takes_those_it_has(postgres: Postgres) -> None:
    store = await opened(postgres, *map(key, ("r1", "r2")))
    await store.commit([curves("r1", 1, 1), curves("r2", 1, 1)])
    await postgres.execute("DELETE FROM metrics.series WHERE run = 'r1' AND metric = 'b'")
    await postgres.execute("UPDATE metrics.name_count SET series_count = 100000 WHERE run = 'r1'")

    outcomes = await store.commit([curves("r1", 1, 1, number=2), curves("r2", 1, 1, number=2)])

    assert reasons(outcomes) == [[("b", "TOO_MANY_METRICS")], []]
    assert await steps(postgres, "r1", "a") == await steps(postgres, "r2", "b") == [100, 200]


def _second(append: MetricAppend) -> MetricAppend:
    return append._replace(start=1, end=2)
