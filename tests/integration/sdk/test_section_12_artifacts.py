"""Section 12: charts are files of the run whose path is the name of the metric."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runstream.core import Run
from runstream.exceptions import UserErrorException

DATA: dict[str, tuple[str, dict[str, Any]]] = {
    "confusion_matrix": ("1.0.0", {"class_labels": ["a", "b"], "matrix": [[1, 2], [3, 4]]}),
    "accuracy_table": (
        "1.0.1",
        {
            "class_labels": ["a", "b"],
            "probability_tables": [[[1, 2, 3, 4], [0, 3, 2, 5]]] * 2,
            "percentile_tables": [[[1, 2, 3, 4]]] * 2,
            "probability_thresholds": [0.0, 0.5],
            "percentile_thresholds": [0.5],
        },
    ),
    "residuals": ("1.0.0", {"bin_edges": [0.0, 0.5, 1.0], "bin_counts": [1, 2]}),
    "predictions": (
        "1.0.0",
        {"bin_averages": [0.5], "bin_errors": [0.1], "bin_counts": [3], "bin_edges": [0.0, 1.0]},
    ),
}


def document(kind: str) -> dict[str, Any]:
    version, data = DATA[kind]
    return {"schema_type": kind, "schema_version": version, "data": data}


kinds = pytest.mark.parametrize("kind", DATA)


def logger(run: Run, kind: str) -> Callable[..., None]:
    found: Callable[..., None] = getattr(run, f"log_{kind}")
    return found


@kinds
def test_a_chart_is_a_dict_or_json(run: Run, kind: str) -> None:
    logger(run, kind)("chart", document(kind))
    logger(run, kind)("folder/text", json.dumps(document(kind)), "a description")
    run.flush()

    assert run.get_file_names() == ["chart", "folder/text"]
    run.download_file("chart", "chart.json")
    assert json.loads(Path("chart.json").read_text()) == document(kind)
    assert run.get_metrics() == {
        name: f"aml://artifactId/ExperimentRun/dcid.{run.id}/{name}" for name in ("chart", "folder/text")
    }
    (populated,) = run.get_metrics("chart", populate=True).values()
    assert populated.metric_type == f"azureml.v1.{kind}"


@kinds
def test_what_is_no_document_is_refused(run: Run, kind: str) -> None:
    with pytest.raises(UserErrorException, match="JSON"):
        logger(run, kind)("chart", "{no json")
    with pytest.raises(UserErrorException, match=r"\$\.data\.\w+ is missing"):
        logger(run, kind)("chart", {**document(kind), "data": {}})
    assert run.get_metrics() == {}


def test_unknown_versions_are_stored_untouched(run: Run) -> None:
    later = {"schema_type": "residuals", "schema_version": "7.0", "data": {"anything": [1, {"a": None}]}}
    run.log_residuals("chart", later)

    assert run.get_metrics(populate=True)["chart"].convert_to_object() == later
