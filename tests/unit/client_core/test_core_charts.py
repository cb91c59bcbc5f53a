"""Section 12: what the documents of charts look like."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from runstream.core._artifact_paths import artifact_path
from runstream.core._charts import (
    ACCURACY_TABLE_CHART,
    CONFUSION_MATRIX_CHART,
    PREDICTIONS_CHART,
    RESIDUALS_CHART,
    Chart,
    encode,
)
from runstream.exceptions import UserErrorException

DATA: dict[str, Any] = {
    "confusion_matrix": {"class_labels": ["a", "b"], "matrix": [[1, 2], [3, 4]]},
    "accuracy_table": {
        "class_labels": ["a", "b"],
        "probability_tables": [[[1, 2, 3, 4]] * 3] * 2,
        "percentile_tables": [[[1, 2, 3, 4]] * 2] * 2,
        "probability_thresholds": [0.0, 0.5, 1.0],
        "percentile_thresholds": [0.1, 0.9],
    },
    "residuals": {"bin_counts": [1, 2], "bin_edges": [0.0, 0.5, 1.0]},
    "predictions": {
        "bin_averages": [0.1, 0.2],
        "bin_errors": [0.1, 0.2],
        "bin_counts": [1, 2],
        "bin_edges": [0.0, 0.5, 1.0],
    },
}
CHARTS = {
    chart.schema_type: chart
    for chart in (CONFUSION_MATRIX_CHART, ACCURACY_TABLE_CHART, RESIDUALS_CHART, PREDICTIONS_CHART)
}


def document(chart: Chart) -> dict[str, Any]:
    return {
        "schema_type": chart.schema_type,
        "schema_version": chart.schema_version,
        "data": json.loads(json.dumps(DATA[chart.schema_type])),
    }


charts = pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS.keys())


@charts
def test_a_document_is_a_dict_or_its_json(chart: Chart) -> None:
    value = document(chart)

    assert json.loads(encode(chart, value)) == value
    assert json.loads(encode(chart, json.dumps(value))) == value


@charts
def test_what_is_no_json_is_refused(chart: Chart) -> None:
    for value in ("{", "text", [1], None, {"data": object()}):
        with pytest.raises(UserErrorException, match="JSON"):
            encode(chart, value)


@charts
def test_an_unknown_version_is_stored_untouched(chart: Chart) -> None:
    value = {"schema_type": chart.schema_type, "schema_version": "9.9", "data": {"whatever": 1}}

    assert json.loads(encode(chart, value)) == value


@charts
@pytest.mark.parametrize("missing", ["schema_type", "schema_version", "data"])
def test_the_top_level_is_complete(chart: Chart, missing: str) -> None:
    value = document(chart)
    del value[missing]

    with pytest.raises(UserErrorException, match=rf"\$\.{missing} is missing"):
        encode(chart, value)


@charts
def test_every_member_is_needed_and_has_its_length(chart: Chart) -> None:
    for name in DATA[chart.schema_type]:
        value = document(chart)
        value["data"][name].append(value["data"][name][0])
        with pytest.raises(UserErrorException, match=r"\$\.data\."):
            encode(chart, value)
        del value["data"][name]
        with pytest.raises(UserErrorException, match=rf"\$\.data\.{name} is missing"):
            encode(chart, value)


@pytest.mark.parametrize(
    ("kind", "spoil", "path"),
    [
        ("confusion_matrix", lambda data: data["matrix"][1].append(1), "$.data.matrix[1] has 3 items instead of 2"),
        ("confusion_matrix", lambda data: data["matrix"][0].__setitem__(1, "x"), "$.data.matrix[0][1] is no number"),
        ("confusion_matrix", lambda data: data["class_labels"].__setitem__(0, []), "$.data.class_labels[0] is no"),
        ("confusion_matrix", lambda data: data.__setitem__("matrix", 1), "$.data.matrix is no array"),
        (
            "accuracy_table",
            lambda data: data["probability_thresholds"].__setitem__(2, 1.5),
            "thresholds[2] is not within",
        ),
        ("accuracy_table", lambda data: data["percentile_tables"][1][1].append(5), "percentile_tables[1][1] has 5"),
        ("residuals", lambda data: data["bin_edges"].pop(), "$.data.bin_edges has 2 items instead of 3"),
        ("predictions", lambda data: data["bin_errors"].pop(), "$.data.bin_errors has 1 items instead of 2"),
    ],
)
def test_the_message_has_the_path_of_the_bad_field(kind: str, spoil: Callable[[Any], object], path: str) -> None:
    value = document(CHARTS[kind])
    spoil(value["data"])

    with pytest.raises(UserErrorException) as raised:
        encode(CHARTS[kind], value)
    assert path in raised.value.message


def test_the_kind_of_a_document_is_that_of_the_method() -> None:
    with pytest.raises(UserErrorException, match=r"\$\.schema_type is 'residuals', not 'predictions'"):
        encode(PREDICTIONS_CHART, document(RESIDUALS_CHART))


def test_arrays_of_numpy_are_taken_and_nan_is_null() -> None:
    value = document(PREDICTIONS_CHART)
    value["data"]["bin_averages"] = np.array([0.5, np.nan])
    value["data"]["bin_counts"] = [np.int64(1), 2]

    stored = json.loads(encode(PREDICTIONS_CHART, value))["data"]

    assert (stored["bin_averages"], stored["bin_counts"]) == ([0.5, None], [1, 2])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.png", "a.png"),
        ("./plots//a.png", "plots/a.png"),
        ("/tmp/a.png", "tmp/a.png"),
        ("../../a.png", "a.png"),
        ("loss/train ", "loss/train "),
        ("a\nb\0", "ab"),
        ("..", "_"),
        ("ü" * 600 + ".png", "ü" * 448 + ".png"),
    ],
)
def test_any_name_makes_a_path(name: str, path: str) -> None:
    assert artifact_path(name) == path
