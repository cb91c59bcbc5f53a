"""How many rows of a table a statement looks at, whatever it returns."""

import json
from collections.abc import Iterator
from typing import Any

from runstream_server.postgres import Connection


async def looked_at(connection: Connection, table: str, query: str, *arguments: object) -> int:
    """Runs a statement that only reads, and counts the rows of a table that Postgres went through."""
    found = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *arguments)
    steps = [step for step in _walk(json.loads(found)[0]["Plan"]) if step.get("Relation Name") == table]
    assert steps, f"nothing is read of {table}"
    rows: float = sum((step["Actual Rows"] + _left_out(step)) * step["Actual Loops"] for step in steps)
    return round(rows)


def _left_out(step: dict[str, Any]) -> float:
    return sum(float(step.get(why, 0)) for why in ("Rows Removed by Filter", "Rows Removed by Index Recheck"))


def _walk(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield step
    for inner in step.get("Plans", ()):
        yield from _walk(inner)
