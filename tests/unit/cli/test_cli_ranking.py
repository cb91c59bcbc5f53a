"""A listing that is ordered by a metric shows it."""

import pytest

from runstream._cli.run.ranking import is_by_metric, ranking_column
from runstream.api.runs.v1.run_pb2 import MetricSummary, Run

RUNS = [
    Run(
        name="workspaces/default/runs/a",
        metric_summaries=[
            MetricSummary(metric="loss", count=3, last=0.25, min=0.125),
            MetricSummary(metric='best "so far"', count=1, max=1234567.5),
        ],
    ),
    Run(name="workspaces/default/runs/b"),
]


@pytest.mark.parametrize(
    ("order_by", "title", "cells"),
    [
        ("metrics.loss.min", "loss.min", ["0.125", ""]),
        (" metrics.loss.count desc ", "loss.count", ["3", ""]),
        ("metrics.loss.max asc", "loss.max", ["", ""]),
        ('metrics."best \\"so far\\"".max desc', 'best "so far".max', ["1.23457e+06", ""]),
    ],
)
def test_the_column_has_what_the_runs_are_ordered_by(order_by: str, title: str, cells: list[str]) -> None:
    column = ranking_column(order_by, RUNS)

    assert column is not None
    assert column.title == title
    assert [column.cell({"run_id": run_id}) for run_id in ("a", "b")] == cells


@pytest.mark.parametrize("order_by", [None, "", "start_time desc", "tags.metrics", "metrics.loss", "metrics.loss.mean"])
def test_other_orders_have_no_column(order_by: str | None) -> None:
    assert not is_by_metric(order_by)
    assert ranking_column(order_by, RUNS) is None
