"""The metric that a listing of runs is ordered by, as a column of its table."""

import re
from collections.abc import Sequence
from typing import Any, cast

from runstream._cli.tables import Column
from runstream.api.runs.v1.run_pb2 import Run

ORDER_BY_METRIC = re.compile(
    r'\s*metrics\.(?:"(?P<quoted>(?:[^"\\]|\\.)+)"|(?P<plain>\w+))\.(?P<field>last|min|max|count)(?:\s+(?:asc|desc))?\s*'
)


def is_by_metric(order_by: str | None) -> bool:
    """Whether runs are ordered by something of a metric."""
    return bool(ORDER_BY_METRIC.fullmatch(order_by or ""))


def ranking_column(order_by: str | None, runs: Sequence[Run]) -> Column | None:
    """What run documents of `runs` are ordered by, if that is something of a metric; `runs` have their summaries."""
    if (order := ORDER_BY_METRIC.fullmatch(order_by or "")) is None:
        return None
    name = order["plain"] or re.sub(r"\\(.)", r"\1", order["quoted"])
    values = {run.name.rpartition("/")[2]: _value(run, name, order["field"]) for run in runs}
    return Column(f"{name}.{order['field']}", lambda run: values[run["run_id"]], is_number=True)


def _value(run: Run, metric: str, field: str) -> str:
    for summary in run.metric_summaries:
        if summary.metric == metric and (field == "count" or summary.HasField(cast(Any, field))):
            return f"{getattr(summary, field):.6g}"
    return ""
