"""The run document has the keys and the shapes of the command line of SDK v1."""

from google.protobuf.timestamp_pb2 import Timestamp

from runstream._cli.run_document import minimal_document, run_document
from runstream.api.runs.v1.run_pb2 import RUN_STATUS_COMPLETED, RUN_STATUS_FAILED, Run, RunError, RunWarning
from runstream.api.runs.v1.workspace_pb2 import Tag

# fmt: off
KEYS = [
    "run_number", "root_run_id", "experiment_id", "_experiment_name", "created_utc", "user_id", "run_id",
    "parent_run_id", "status", "start_time_utc", "end_time_utc", "heartbeat_enabled", "name", "display_name",
    "data_container_id", "description", "hidden", "run_type", "run_type_v2", "properties", "script_name",
    "target", "tags", "run_definition", "primary_metric_name", "created_from", "created_by", "cancel_uri",
    "complete_uri", "diagnostics_uri", "error", "warnings", "queueing_info",
]
# fmt: on

NOON = Timestamp(seconds=1_700_000_000, nanos=123_456_000)

CHILD = Run(
    name="workspaces/vision/runs/child-1",
    experiment="workspaces/vision/experiments/0197",
    experiment_display_name="digits",
    parent="workspaces/vision/runs/parent-1",
    root="workspaces/vision/runs/root-1",
    display_name="brave_heron",
    status=RUN_STATUS_COMPLETED,
    create_time=NOON,
    start_time=NOON,
    end_time=NOON,
    tags=[Tag(key="empty", value=""), Tag(key="mark"), Tag(key="quality", value="good")],
    properties={"b": "2", "a": "1"},
    creator="ada",
    target="local",
)


def test_the_run_document_has_exactly_the_keys_of_sdk_v1() -> None:
    assert list(run_document(CHILD)) == KEYS


def test_the_run_document_says_what_the_run_says() -> None:
    document = run_document(CHILD)

    assert document["run_id"] == "child-1"
    assert document["parent_run_id"] == "parent-1"
    assert document["root_run_id"] == "root-1"
    assert document["experiment_id"] == "0197"
    assert document["_experiment_name"] == "digits"
    assert document["data_container_id"] == "dcid.child-1"
    assert document["status"] == "Completed"
    assert document["created_utc"] == "2023-11-14T22:13:20.123456Z"
    assert document["created_by"] == {"user_object_id": None, "user_tenant_id": None, "user_name": "ada"}
    assert document["properties"] == {"a": "1", "b": "2"}


def test_a_tag_without_value_is_null_and_one_with_empty_value_is_not() -> None:
    assert run_document(CHILD)["tags"] == {"empty": "", "mark": None, "quality": "good"}


def test_what_a_bare_run_lacks_is_null_but_its_tags_and_properties_are_empty_objects() -> None:
    document = run_document(Run(name="workspaces/vision/runs/bare", root="workspaces/vision/runs/bare"))

    assert document["tags"] == {}
    assert document["properties"] == {}
    assert document["warnings"] == []
    for key in ("parent_run_id", "start_time_utc", "end_time_utc", "error", "description", "run_number", "name"):
        assert document[key] is None, key


def test_errors_and_warnings_are_part_of_the_document() -> None:
    failed = Run(
        name="workspaces/vision/runs/failed",
        status=RUN_STATUS_FAILED,
        error=RunError(
            code="UserError", message="no data", exception_type="ValueError", stack_trace="Traceback ...", time=NOON
        ),
        warnings=[RunWarning(source="metrics", message="a metric was refused", time=NOON)],
    )

    document = run_document(failed)

    assert document["error"]["error"]["code"] == "UserError"
    assert document["error"]["error"]["message"] == "no data"
    assert document["error"]["error"]["debugInfo"]["stackTrace"] == "Traceback ..."
    assert document["warnings"] == [{"source": "metrics", "message": "a metric was refused"}]


def test_the_minimal_document_has_exactly_its_seven_keys() -> None:
    assert minimal_document(CHILD) == {
        "RunId": "child-1",
        "RunType": None,
        "Status": "Completed",
        "StartTime": "2023-11-14T22:13:20.123456Z",
        "EndTime": "2023-11-14T22:13:20.123456Z",
        "Target": "local",
        "Tags": {"empty": "", "mark": None, "quality": "good"},
    }
