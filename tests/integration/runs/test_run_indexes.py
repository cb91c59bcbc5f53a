"""Which index serves each hot query, on 100,000 runs: found by EXPLAIN, and how many rows it reads."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from runstream_server.runs.filter import experiment_names, parse_filter, parse_order
from runstream_server.runs.store.walks import NEWEST_FIRST, Listing, Place, statement
from tests.conftest import of_database

RUNS = 100_000
PAGE = 50
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
MIDDLE = Place(False, NOW, NOW, "run-0000c350")

# Ten experiments. Of each ten runs one is top-level, the others are its children. Every fourth run of each thousand has
# ended badly, one of a thousand is running; tags of ten values and of a hundred thousand; two metrics.
FILL = f"""
INSERT INTO runs.workspace SELECT 'team', '', '', '{{}}', '{NOW}', '{NOW}';
INSERT INTO runs.experiment SELECT 'team', 'e' || i, 'experiment-' || i, '', '{{}}', '{NOW}', '{NOW}'
  FROM generate_series(0, 9) i;
INSERT INTO runs.run (workspace, run, experiment, parent, root, number, run_type, display_name, description, status,
       tags, properties, create_time, start_time, end_time, update_time, heartbeat_enabled, creator, target,
       service_managed, hidden, script_name, label, status_history)
SELECT 'team', name(i), 'e' || i / 10 % 10, CASE WHEN i % 10 > 0 THEN name(i - i % 10) END, name(i - i % 10),
       CASE WHEN i % 10 = 0 THEN i / 10 + 1 ELSE 0 END, '', 'run ' || i, '', status,
       jsonb_build_object('model', 'resnet-' || i % 7, 'seed', i::text), '{{}}',
       '{NOW}'::timestamptz + make_interval(secs => i - 50000), '{NOW}',
       CASE WHEN status <> 'Running' THEN '{NOW}'::timestamptz END,
       '{NOW}', false, '', '', false, false, '', '', '[]'
  FROM (SELECT i, CASE WHEN i % 1000 = 0 THEN 'Running' WHEN i % 4 = 0 THEN 'Failed' ELSE 'Completed' END AS status
          FROM generate_series(0, {RUNS - 1}) i) AS numbered;
INSERT INTO runs.metric_summary
SELECT workspace, run, metric, experiment, create_time, value, value / 2, value * 2, 100, 1
  FROM runs.run, unnest(ARRAY['loss', 'accuracy']) metric,
       LATERAL (SELECT hashtext(run || metric) / 4294967296.0 + 0.5) v (value);
"""
NAME = "CREATE FUNCTION pg_temp.name(i int) RETURNS text LANGUAGE sql RETURN 'run-' || lpad(to_hex(i), 8, '0')"


@pytest.fixture(scope="module")
def full_database(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """The DSN of a database with 100,000 runs."""

    async def make() -> None:
        maintenance = await asyncpg.connect(postgres_server)
        await maintenance.execute(f"CREATE DATABASE full_of_runs TEMPLATE {migrated_template}")
        await maintenance.close()
        connection = await asyncpg.connect(of_database(postgres_server, "full_of_runs"))
        await connection.execute(NAME)
        await connection.execute(FILL.replace("name(", "pg_temp.name("))
        for table in ("run", "metric_summary", "experiment"):
            await connection.execute(f"VACUUM ANALYZE runs.{table}")
        await connection.close()

    asyncio.run(make())
    yield of_database(postgres_server, "full_of_runs")

    async def drop() -> None:
        maintenance = await asyncpg.connect(postgres_server)
        await maintenance.execute("DROP DATABASE full_of_runs WITH (FORCE)")
        await maintenance.close()

    asyncio.run(drop())


@dataclass(frozen=True)
class Plan:
    """What Postgres did for a statement, apart from looking up experiments."""

    indexes: frozenset[str]
    kinds: frozenset[str]
    most_rows: int
    """How many rows the busiest step looked at."""


async def explained(dsn: str, query: str, arguments: Sequence[object]) -> Plan:
    connection = await asyncpg.connect(dsn)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    try:
        found = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *arguments)
    finally:
        await connection.close()
    taken = [
        step
        for step in walk(json.loads(found)[0]["Plan"])
        if step["Actual Loops"] and step.get("Relation Name") != "experiment"
    ]
    rows = [(step["Actual Rows"] + step.get("Rows Removed by Filter", 0)) * step["Actual Loops"] for step in taken]
    return Plan(
        frozenset(step["Index Name"] for step in taken if "Index Name" in step),
        frozenset(step["Node Type"] for step in taken),
        int(max(rows)),
    )


def walk(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield step
    for inner in step.get("Plans", ()):
        yield from walk(inner)


def listing(filter_text: str, order_text: str = "") -> Listing:
    node = parse_filter(filter_text)
    names = {name: [name.replace("experiment-", "e")] for name in experiment_names(node, "team")}
    order = parse_order(order_text) if order_text else NEWEST_FIRST
    return Listing("team", node, order, show_deleted=False, now=NOW, experiments=names)


@pytest.mark.parametrize(
    ("filter_text", "index", "most_rows"),
    [
        ("", "run_time", 51),
        ("NOT parent:*", "run_time", 51),
        ("NOT parent:* AND status = Failed", "run_status", 300),
        ("experiment = experiment-3", "run_experiment", 51),
        ("experiment = experiment-3 AND NOT parent:*", "run_experiment", 51),
        ("status = Running", "run_status", 100),
        ("status = Failed", "run_status", 51),
        ("experiment = experiment-3 AND status = Failed", "run_experiment", 300),
        ("parent = run-00000064", "run_parent", 51),
        ("tags.seed = 777", "run_tags", 51),
        ("tags.nothing:*", "run_tags", 0),
        ("tags.model = resnet-3", "run_time", 500),
        ("ancestor = run-00000064", "run_parent", 51),
        ("run_id = run-00000064", "run_pkey", 1),
        ("metrics.loss.last < 0.5", "run_time", 200),
    ],
)
async def test_a_listing_newest_first_walks_an_index(
    full_database: str, filter_text: str, index: str, most_rows: int
) -> None:
    for after in (None, MIDDLE):
        plan = await explained(full_database, *statement(listing(filter_text), after, PAGE + 1))

        assert index in plan.indexes
        assert plan.most_rows <= most_rows
        assert "Seq Scan" not in plan.kinds


@pytest.mark.parametrize("scope", ["", "experiment = experiment-3 AND "])
@pytest.mark.parametrize("direction", ["", " desc"])
@pytest.mark.parametrize("statistic", ["last", "min", "max"])
async def test_a_listing_by_metric_walks_the_index_of_its_statistic(
    full_database: str, scope: str, direction: str, statistic: str
) -> None:
    filtered = listing(
        f"{scope}tags.model = resnet-3 AND metrics.loss.last < 0.9", f"metrics.accuracy.{statistic}{direction}"
    )
    for after in (None, Place(False, 0.3, NOW, "run-0000c350")):
        plan = await explained(full_database, *statement(filtered, after, PAGE + 1))

        assert plan.indexes >= {f"metric_summary_{statistic}", "metric_summary_pkey", "run_pkey"}
        assert plan.most_rows <= 1_000
        assert plan.kinds.isdisjoint({"Seq Scan", "Sort", "Hash Join", "Hash"})


async def test_a_filter_on_the_metric_of_the_order_bounds_the_walk(full_database: str) -> None:
    filtered = listing("metrics.loss.last < 0.00005", "metrics.loss.last desc")
    plan = await explained(full_database, *statement(filtered, None, PAGE + 1))
    rest = await explained(full_database, *statement(filtered, None, PAGE + 1, without_metric=True))

    assert "metric_summary_last" in plan.indexes
    assert plan.most_rows <= 200
    assert rest.most_rows == 0


@pytest.mark.parametrize(
    ("query", "arguments", "index"),
    [
        ("SELECT run FROM runs.run WHERE workspace = $1 AND run = ANY($2)", ["team", ["run-00000064"]], "run_pkey"),
        (
            """SELECT run FROM runs.run WHERE workspace = $1 AND (change_xid, run) > ($2::text::xid8, '')
               AND change_xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY change_xid, run LIMIT 100""",
            ["team", "99999999"],
            "run_change",
        ),
        ("SELECT run FROM runs.run WHERE deadline < $1 ORDER BY deadline LIMIT 200", [NOW], "run_deadline"),
        (
            "SELECT metric FROM runs.metric_summary WHERE workspace = $1 AND run = $2",
            ["team", "x"],
            "metric_summary_pkey",
        ),
    ],
)
async def test_what_is_looked_up_all_the_time_has_an_index(
    full_database: str, query: str, arguments: Sequence[object], index: str
) -> None:
    plan = await explained(full_database, query, arguments)

    assert plan.indexes == {index}
