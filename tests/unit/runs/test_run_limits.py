"""Every limit of a field of a run, at n and at n + 1."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.runs.v1 import experiment_pb2, run_pb2
from runstream.api.runs.v1.run_history_service_pb2 import CreateRunRequest
from runstream.api.runs.v1.run_pb2 import MetricSummary, Run, RunError, RunWarning
from runstream.api.runs.v1.workspace_pb2 import Tag, Workspace
from runstream_server.errors import InvalidField
from runstream_server.runs.convert.decoding import (
    NewRuns,
    decode_edits,
    decode_error,
    decode_run_edits,
    decode_run_names,
    decode_summaries,
    decode_warnings,
    decode_workspace_edits,
)
from runstream_server.runs.identifiers import Identifiers
from runstream_server.runs.limits import Checks
from runstream_server.runs.model import NewRun

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
EXPERIMENT = "workspaces/team/experiments/e1"


def decoded(run_id: str = "", **fields: Any) -> NewRun:
    fields.setdefault("experiment", EXPERIMENT)
    return NewRuns(Identifiers()).decode(CreateRunRequest(run_id=run_id, run=Run(**fields)), "team", "requests[7].")


def tags(count: int, *, key: int = 3, value: int = 0) -> list[Tag]:
    return [Tag(key=f"{number:03}".rjust(key, "k"), value="v" * value) for number in range(count)]


@pytest.mark.parametrize(
    ("field", "most", "too_much"),
    [
        ("run_id", {"run_id": "r" * 256}, {"run_id": "r" * 257}),
        ("run.display_name", {"display_name": "ü" * 256}, {"display_name": "ü" * 257}),
        ("run.description", {"description": "d" * 5_000}, {"description": "d" * 5_001}),
        ("run.run_type", {"run_type": "t" * 100}, {"run_type": "t" * 101}),
        ("run.creator", {"creator": "c" * 256}, {"creator": "c" * 257}),
        ("run.target", {"target": "t" * 256}, {"target": "t" * 257}),
        ("run.script_name", {"script_name": "s" * 1_024}, {"script_name": "s" * 1_025}),
        ("run.label", {"label": "l" * 256}, {"label": "l" * 257}),
        ("run.tags", {"tags": tags(1_000)}, {"tags": tags(1_001)}),
        ("run.tags[0].key", {"tags": tags(1, key=250)}, {"tags": tags(1, key=251)}),
        ("run.tags[0].value", {"tags": tags(1, value=10_000)}, {"tags": tags(1, value=10_001)}),
        ("run.tags", {"tags": tags(100, value=10_000)}, {"tags": tags(105, value=10_000)}),
        (
            "run.properties",
            {"properties": {str(number): "" for number in range(1_000)}},
            {"properties": {str(number): "" for number in range(1_001)}},
        ),
        ("run.properties['k", {"properties": {"k" * 260: ""}}, {"properties": {"k" * 261: ""}}),
        ("run.properties['k']", {"properties": {"k": "v" * 10_000}}, {"properties": {"k": "v" * 10_001}}),
        (
            "run.properties",
            {"properties": {str(number): "v" * 10_000 for number in range(100)}},
            {"properties": {str(number): "v" * 10_000 for number in range(105)}},
        ),
        (
            "run.max_run_duration",
            {"max_run_duration": Duration(seconds=3_650 * 86_400)},
            {"max_run_duration": Duration(seconds=3_650 * 86_400, nanos=1_000)},
        ),
        (
            "run.max_run_duration",
            {"max_run_duration": Duration(seconds=1)},
            {"max_run_duration": Duration(nanos=999_999_999)},
        ),
    ],
)
def test_a_field_of_a_new_run_is_held_to_its_limit(field: str, most: dict[str, Any], too_much: dict[str, Any]) -> None:
    decoded(**most)

    with pytest.raises(InvalidField) as caught:
        decoded(**too_much)
    assert caught.value.violations[0].field.startswith(f"requests[7].{field}")


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("run_id", {"run_id": "a/b"}),
        ("run_id", {"run_id": "-a"}),
        ("run_id", {"run_id": "a\0"}),
        ("run.display_name", {"display_name": "a\0b"}),
        ("run.description", {"description": "\0"}),
        ("run.creator", {"creator": "a\0b"}),
        ("run.tags[0].key", {"tags": [Tag(key="")]}),
        ("run.tags[0].key", {"tags": [Tag(key="a\tb")]}),
        ("run.tags[0].key", {"tags": [Tag(key="a\x7fb")]}),
        ("run.tags[1].key", {"tags": [Tag(key="a"), Tag(key="a")]}),
        ("run.tags[0].value", {"tags": [Tag(key="a", value="x\0")]}),
        ("run.properties['']", {"properties": {"": "x"}}),
        ("run.properties['a']", {"properties": {"a": "\0"}}),
        ("run.experiment", {"experiment": ""}),
        ("run.experiment", {"experiment": "digits"}),
        ("run.experiment", {"experiment": "workspaces/other/experiments/e1"}),
        ("run.parent", {"parent": "workspaces/other/runs/a"}),
        ("run.parent", {"parent": "a"}),
        ("run.max_run_duration", {"max_run_duration": Duration(seconds=-5)}),
        ("run.max_run_duration", {"max_run_duration": Duration(seconds=2**62)}),
    ],
)
def test_what_a_field_of_a_new_run_cannot_be_is_refused(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as caught:
        decoded(**fields)

    assert [violation.field for violation in caught.value.violations] == [f"requests[7].{field}"]


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(InvalidField) as caught:
        decoded(run_type="t" * 101, creator="c" * 257, label="l\0")

    fields = [violation.field for violation in caught.value.violations]
    assert fields == ["requests[7].run.run_type", "requests[7].run.creator", "requests[7].run.label"]


def test_a_new_run_keeps_what_it_was_given_and_gets_what_it_was_not() -> None:
    new = decoded(
        tags=[Tag(key="a", value=""), Tag(key="b")],
        properties={"azureml.git.repository_uri": "https://me:secret@host/x"},
        number=9,
        status=run_pb2.RUN_STATUS_FAILED,
    )

    assert new.labels.tags == {"a": "", "b": None}
    assert new.labels.properties == {"azureml.git.repository_uri": "https://host/x"}
    assert new.kind.experiment == "e1"
    assert new.run
    assert new.display_name.count("_") == 2


def test_runs_of_a_batch_that_are_alike_are_still_told_apart() -> None:
    decoder = NewRuns(Identifiers())
    requests = [
        CreateRunRequest(run_id="a", start=True, run=Run(experiment=EXPERIMENT, display_name="x", creator="me")),
        CreateRunRequest(run_id="b", start=False, run=Run(experiment=EXPERIMENT, properties={"k": "v"}, creator="me")),
        CreateRunRequest(run_id="c", start=True, run=Run(parent="workspaces/team/runs/a", tags=[Tag(key="t")])),
        CreateRunRequest(run_id="d", start=True, run=Run(experiment=EXPERIMENT, creator="you")),
    ]
    new = [decoder.decode(request, "team") for request in requests]

    assert [(run.run, run.kind.start, run.kind.creator, run.kind.parent) for run in new] == [
        ("a", True, "me", None),
        ("b", False, "me", None),
        ("c", True, "", "a"),
        ("d", True, "you", None),
    ]
    assert (new[0].display_name, new[1].labels.properties, new[2].labels.tags, new[3].labels.tags) == (
        "x",
        {"k": "v"},
        {"t": None},
        {},
    )


def test_a_long_error_is_cut_and_never_refused() -> None:
    checks = Checks()
    given = RunError(code="c" * 256, message="m" * 4_000 + "\0", stack_trace="s" * 100_001, exception_type="e" * 256)
    error = decode_error(checks, "error", given, NOW)
    checks.done()

    assert len(error.message) == 3_000
    assert error.message.endswith(" ... (cut) ... ")
    assert len(error.stack_trace) <= 100_000
    assert "s ... (cut) ... s" in error.stack_trace
    assert error.time == NOW


@pytest.mark.parametrize("error", [RunError(code="x" * 257), RunError(exception_type="x" * 257)])
def test_a_word_of_an_error_is_held_to_its_limit(error: RunError) -> None:
    checks = Checks()
    decode_error(checks, "error", error, NOW)
    with pytest.raises(InvalidField, match="up to 256 characters; got 257"):
        checks.done()


def test_warnings_are_counted_and_their_messages_cut() -> None:
    warnings = decode_warnings([RunWarning(source="s" * 256, message="m" * 301)] * 100, NOW)

    assert {len(warning.message) for warning in warnings} == {300}
    for wrong in ([], [RunWarning(message="m")] * 101, [RunWarning(source="s" * 257)]):
        with pytest.raises(InvalidField):
            decode_warnings(wrong, NOW)


def test_names_are_counted_and_of_one_workspace() -> None:
    names = [f"workspaces/team/runs/{number}" for number in range(1_000)]

    assert decode_run_names(names, "team") == [str(number) for number in range(1_000)]
    for wrong in ([], [*names, names[0]], ["workspaces/other/runs/1"], ["1"]):
        with pytest.raises(InvalidField, match=r"^names"):
            decode_run_names(wrong, "team")


def nothing(summary: MetricSummary) -> None:
    """Leaves it right."""


@pytest.mark.parametrize(
    "spoil",
    [
        lambda summary: setattr(summary, "metric", "m" * 256),
        lambda summary: setattr(summary, "metric", ""),
        lambda summary: setattr(summary, "metric", "a\0"),
        lambda summary: setattr(summary, "min", float("nan")),
        lambda summary: setattr(summary, "max", float("nan")),
        lambda summary: setattr(summary, "count", -1),
        lambda summary: setattr(summary, "revision", -1),
    ],
)
def test_a_wrong_summary_is_refused(spoil: Callable[[MetricSummary], None]) -> None:
    def refused(change: Callable[[MetricSummary], None]) -> bool:
        summary = MetricSummary(metric="m" * 255, last=float("nan"), min=float("-inf"), max=1.0, count=3, revision=0)
        change(summary)
        checks = Checks()
        decode_summaries(checks, "summaries", [summary])
        try:
            checks.done()
        except InvalidField:
            return True
        return False

    assert not refused(nothing)
    assert refused(spoil)


@pytest.mark.parametrize("paths", [[], ["name"], ["display_name", "start_time"], ["tags.a"], ["*"]])
def test_a_mask_names_fields_that_can_change(paths: list[str]) -> None:
    with pytest.raises(InvalidField, match="update_mask: expected one or more of display_name, description"):
        decode_run_edits(Run(display_name="x"), FieldMask(paths=paths), NOW)


def test_a_display_name_is_never_emptied() -> None:
    mask = FieldMask(paths=["display_name"])
    with pytest.raises(InvalidField, match=r"run\.display_name: required"):
        decode_run_edits(Run(), mask, NOW)
    with pytest.raises(InvalidField, match=r"workspace\.display_name: required"):
        decode_workspace_edits("workspace", Workspace(), mask)
    with pytest.raises(InvalidField, match=r"experiment\.display_name: expected a letter or digit"):
        decode_edits("experiment", experiment_pb2.Experiment(), mask)


@pytest.mark.parametrize("status", [run_pb2.RUN_STATUS_UNSPECIFIED, 99])
def test_a_status_to_enter_is_one_that_exists(status: Any) -> None:
    with pytest.raises(InvalidField, match=r"run\.status: required: one of the statuses"):
        decode_run_edits(Run(status=status), FieldMask(paths=["status"]), NOW)


@pytest.mark.parametrize("name", ["a", "9" + "x" * 254, "A_b-9"])
def test_a_display_name_of_an_experiment_may_be(name: str) -> None:
    checks = Checks()
    checks.experiment_display_name("experiment.display_name", name)
    checks.done()


@pytest.mark.parametrize("name", ["", "x" * 256, "_a", "a b", "ü", "a\n"])
def test_a_display_name_of_an_experiment_cannot_be(name: str) -> None:
    checks = Checks()
    checks.experiment_display_name("experiment.display_name", name)
    with pytest.raises(InvalidField, match="expected a letter or digit"):
        checks.done()


@pytest.mark.parametrize(("size", "page"), [(0, 100), (1, 1), (1_000, 1_000), (1_001, None), (-1, None)])
def test_a_page_has_1_to_1000_items(size: int, page: int | None) -> None:
    checks = Checks()
    found = checks.page_size(size)
    if page is not None:
        checks.done()
        assert found == page
    else:
        with pytest.raises(InvalidField, match="page_size: expected 1 to 1000"):
            checks.done()
