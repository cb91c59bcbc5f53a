"""Bad input on a port: each time a clear error with a reason, and nothing is written."""

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from runstream.api.runs.v1 import run_history_service_pb2 as m
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.run_pb2 import MetricSummary, Run, RunWarning
from runstream.api.runs.v1.workspace_pb2 import Tag, Workspace

TEAM = "workspaces/team"
RUN = f"{TEAM}/runs/r"
EXPERIMENT = f"{TEAM}/experiments/e"

NOT_FOUND, INVALID = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION, EXISTS = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS


def new(**fields: Any) -> m.CreateRunRequest:
    return m.CreateRunRequest(parent=TEAM, run=Run(**fields))


BAD: list[tuple[str, Any, grpc.StatusCode, str, str]] = [
    ("GetWorkspace", m.GetWorkspaceRequest(name="workspaces/nowhere"), NOT_FOUND, "WORKSPACE_NOT_FOUND", "nowhere"),
    ("GetWorkspace", m.GetWorkspaceRequest(name="nowhere"), INVALID, "INVALID_FIELD", "name: expected workspaces/"),
    ("GetWorkspace", m.GetWorkspaceRequest(), INVALID, "INVALID_FIELD", "name: expected"),
    ("CreateWorkspace", m.CreateWorkspaceRequest(workspace_id="a/b"), INVALID, "INVALID_FIELD", "workspace_id"),
    ("CreateWorkspace", m.CreateWorkspaceRequest(workspace_id="a" * 34), INVALID, "INVALID_FIELD", "3 to 33"),
    ("CreateWorkspace", m.CreateWorkspaceRequest(workspace_id="team"), EXISTS, "WORKSPACE_EXISTS", "return_existing"),
    ("CreateWorkspace", m.CreateWorkspaceRequest(workspace_id="abc", request_id="1"), INVALID, "INVALID_FIELD", "UUID"),
    ("ListWorkspaces", m.ListWorkspacesRequest(page_size=1_001), INVALID, "INVALID_FIELD", "page_size: expected 1 to"),
    ("ListWorkspaces", m.ListWorkspacesRequest(page_token="forged"), INVALID, "INVALID_PAGE_TOKEN", "start again"),
    (
        "UpdateWorkspace",
        m.UpdateWorkspaceRequest(workspace=Workspace(name=TEAM)),
        INVALID,
        "INVALID_FIELD",
        "update_mask",
    ),
    ("DeleteWorkspace", m.DeleteWorkspaceRequest(name=TEAM), PRECONDITION, "WORKSPACE_NOT_EMPTY", "delete them first"),
    ("CreateExperiment", m.CreateExperimentRequest(parent=TEAM), INVALID, "INVALID_FIELD", "experiment.display_name"),
    (
        "CreateExperiment",
        m.CreateExperimentRequest(parent="workspaces/nowhere", experiment=Experiment(display_name="x")),
        NOT_FOUND,
        "WORKSPACE_NOT_FOUND",
        "nowhere",
    ),
    (
        "CreateExperiment",
        m.CreateExperimentRequest(parent=TEAM, experiment=Experiment(display_name="digits")),
        EXISTS,
        "EXPERIMENT_EXISTS",
        "choose another display name",
    ),
    ("GetExperiment", m.GetExperimentRequest(name=EXPERIMENT), NOT_FOUND, "EXPERIMENT_NOT_FOUND", "check the spelling"),
    ("ListExperiments", m.ListExperimentsRequest(parent=TEAM, page_size=-1), INVALID, "INVALID_FIELD", "page_size"),
    ("ListExperiments", m.ListExperimentsRequest(parent=TEAM, view=9), INVALID, "INVALID_FIELD", "ExperimentView"),  # type: ignore[arg-type]
    (
        "ListExperiments",
        m.ListExperimentsRequest(parent=TEAM, filter="status = Running"),
        INVALID,
        "INVALID_FILTER",
        "no field",
    ),
    (
        "ArchiveExperiment",
        m.ArchiveExperimentRequest(name=EXPERIMENT),
        NOT_FOUND,
        "EXPERIMENT_NOT_FOUND",
        "experiments/e",
    ),
    ("CreateRun", m.CreateRunRequest(parent=TEAM), INVALID, "INVALID_FIELD", "run.experiment: required"),
    ("CreateRun", new(experiment=EXPERIMENT), NOT_FOUND, "EXPERIMENT_NOT_FOUND", "experiments/e does not exist"),
    ("CreateRun", new(parent=f"{TEAM}/runs/none"), NOT_FOUND, "RUN_NOT_FOUND", "runs/none does not exist"),
    ("CreateRun", new(parent=RUN, display_name="x" * 257), INVALID, "INVALID_FIELD", "up to 256 characters; got 257"),
    ("CreateRun", new(parent=RUN, description="a\0b"), INVALID, "INVALID_FIELD", "NUL; remove it"),
    ("CreateRun", new(parent=RUN, tags=[Tag(key="a")] * 2), INVALID, "INVALID_FIELD", "is there twice"),
    ("BatchCreateRuns", m.BatchCreateRunsRequest(parent=TEAM), INVALID, "INVALID_FIELD", "expected 1 to 10000; got 0"),
    (
        "BatchCreateRuns",
        m.BatchCreateRunsRequest(parent=TEAM, requests=[new(parent=RUN), new(parent=RUN, run_type="t" * 101)]),
        INVALID,
        "INVALID_FIELD",
        "requests[1].run.run_type: up to 100 characters",
    ),
    (
        "BatchCreateRuns",
        m.BatchCreateRunsRequest(parent=TEAM, requests=[new(parent=RUN)] * 10_001),
        INVALID,
        "INVALID_FIELD",
        "expected 1 to 10000; got 10001",
    ),
    ("GetRun", m.GetRunRequest(name=f"{TEAM}/runs/x"), NOT_FOUND, "RUN_NOT_FOUND", "check the spelling"),
    ("GetRun", m.GetRunRequest(name=f"{TEAM}/runs/" + "x" * 257), INVALID, "INVALID_FIELD", "1 to 256"),
    ("GetRun", m.GetRunRequest(name=f"{TEAM}/runs/a\0"), INVALID, "INVALID_FIELD", "name: expected"),
    ("BatchGetRuns", m.BatchGetRunsRequest(parent=TEAM, names=[RUN] * 1_001), INVALID, "INVALID_FIELD", "got 1001"),
    (
        "BatchGetRuns",
        m.BatchGetRunsRequest(parent=TEAM, names=[RUN, f"{TEAM}/runs/x"]),
        NOT_FOUND,
        "RUN_NOT_FOUND",
        "runs/x",
    ),
    ("ListRuns", m.ListRunsRequest(parent="workspaces/nowhere"), NOT_FOUND, "WORKSPACE_NOT_FOUND", "nowhere"),
    ("ListRuns", m.ListRunsRequest(parent=TEAM, page_size=1_001), INVALID, "INVALID_FIELD", "page_size"),
    ("ListRuns", m.ListRunsRequest(parent=TEAM, page_token="forged"), INVALID, "INVALID_PAGE_TOKEN", "start again"),
    ("ListRuns", m.ListRunsRequest(parent=TEAM, filter="status ="), INVALID, "INVALID_FILTER", "line 1, column 9"),
    ("ListRuns", m.ListRunsRequest(parent=TEAM, filter="a = 1 " * 1_366), INVALID, "INVALID_FILTER", "up to 8192"),
    ("ListRuns", m.ListRunsRequest(parent=TEAM, filter="(" * 33 + "a = 1" + ")" * 33), INVALID, "INVALID_FILTER", "32"),
    ("ListRuns", m.ListRunsRequest(parent=TEAM, order_by="shoe size"), INVALID, "INVALID_ORDER", "then desc"),
    ("UpdateRun", m.UpdateRunRequest(run=Run(name=RUN)), INVALID, "INVALID_FIELD", "update_mask: expected one or more"),
    (
        "UpdateRun",
        m.UpdateRunRequest(run=Run(name=RUN), update_mask=FieldMask(paths=["tags"])),
        INVALID,
        "INVALID_FIELD",
        "got ['tags']",
    ),
    (
        "UpdateRun",
        m.UpdateRunRequest(
            run=Run(name=RUN, status=run_pb2.RUN_STATUS_COMPLETED, display_name="changed"),
            update_mask=FieldMask(paths=["status", "display_name"]),
        ),
        PRECONDITION,
        "INVALID_STATUS_CHANGE",
        "is NotStarted, which Completed cannot follow",
    ),
    (
        "UpdateRun",
        m.UpdateRunRequest(run=Run(name=RUN), update_mask=FieldMask(paths=["hidden"]), reason="r" * 301),
        INVALID,
        "INVALID_FIELD",
        "reason: up to 300 characters",
    ),
    (
        "ModifyTags",
        m.ModifyTagsRequest(name=RUN, set=[Tag(key="a")], remove=["a"]),
        INVALID,
        "INVALID_FIELD",
        "as well",
    ),
    ("ModifyTags", m.ModifyTagsRequest(name=TEAM), INVALID, "INVALID_FIELD", "name: expected"),
    ("ModifyTags", m.ModifyTagsRequest(name=EXPERIMENT), NOT_FOUND, "EXPERIMENT_NOT_FOUND", "experiments/e"),
    (
        "AddProperties",
        m.AddPropertiesRequest(name=RUN, properties={"k": "w", "l": ""}),
        PRECONDITION,
        "PROPERTY_CONFLICT",
        "'k' = 'v'",
    ),
    (
        "AddProperties",
        m.AddPropertiesRequest(name=RUN, properties={"a": "\0"}),
        INVALID,
        "INVALID_FIELD",
        "properties['a']",
    ),
    ("AddWarnings", m.AddWarningsRequest(name=RUN), INVALID, "INVALID_FIELD", "warnings: expected 1 to 100; got 0"),
    (
        "AddWarnings",
        m.AddWarningsRequest(name=RUN, warnings=[RunWarning(source="\0")]),
        INVALID,
        "INVALID_FIELD",
        "NUL",
    ),
    ("CompleteRun", m.CompleteRunRequest(name=RUN), PRECONDITION, "INVALID_STATUS_CHANGE", "NotStarted"),
    ("StartRun", m.StartRunRequest(name="r"), INVALID, "INVALID_FIELD", "name: expected workspaces/WORKSPACE/runs/RUN"),
    ("CancelRun", m.CancelRunRequest(name=RUN, reason="\0"), INVALID, "INVALID_FIELD", "reason"),
    ("Heartbeat", m.HeartbeatRequest(name=f"{TEAM}/runs/x"), NOT_FOUND, "RUN_NOT_FOUND", "runs/x"),
    (
        "DeleteRuns",
        m.DeleteRunsRequest(parent=TEAM, names=[RUN, f"{TEAM}/runs/x"]),
        NOT_FOUND,
        "RUN_NOT_FOUND",
        "runs/x",
    ),
    (
        "RestoreRuns",
        m.RestoreRunsRequest(parent=TEAM, names=["workspaces/other/runs/r"]),
        INVALID,
        "INVALID_FIELD",
        "names[0]",
    ),
    ("RecordMetricSummaries", m.RecordMetricSummariesRequest(), INVALID, "INVALID_FIELD", "runs: expected 1 to 1000"),
    (
        "RecordMetricSummaries",
        m.RecordMetricSummariesRequest(runs=[m.RunMetricSummaries(run=RUN, summaries=[MetricSummary(metric="a")] * 2)]),
        INVALID,
        "INVALID_FIELD",
        "metrics are distinct",
    ),
]


def explained(error: grpc.aio.AioRpcError) -> tuple[str, list[str]]:
    """The reason of an error, and the fields that it names."""
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status.details[0].Unpack(info)
    for detail in status.details[1:]:
        detail.Unpack(bad)
    return info.reason, [violation.field for violation in bad.field_violations]


@pytest.fixture
async def run(create: Any) -> Run:
    """The run `r` with a property, not started."""
    made: Run = await create(run_id="r", properties={"k": "v"})
    return made


async def test_bad_requests_are_refused_with_a_reason_and_change_nothing(runs: Any, run: Run) -> None:
    told = []
    for method, request, _, reason, words in BAD:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(runs, method)(request)
        found, fields = explained(caught.value)
        is_told = words in str(caught.value.details()) and bool(fields) == (reason == "INVALID_FIELD")
        told.append((method, words, caught.value.code(), found, is_told))

    assert told == [(method, words, code, reason, True) for method, _, code, reason, words in BAD]
    [listed] = (await runs.ListRuns(m.ListRunsRequest(parent=TEAM))).runs
    assert listed == run


async def test_the_answer_names_each_wrong_field(runs: Any, run: Run) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runs.CreateRun(new(parent=RUN, creator="c" * 257, label="\0", tags=[Tag(key="")]))

    assert explained(caught.value) == ("INVALID_FIELD", ["run.tags[0].key", "run.creator", "run.label"])


async def test_text_that_is_not_utf8_is_refused(backend: Any, run: Run) -> None:
    call = backend.channel.unary_unary("/runstream.api.runs.v1.RunHistoryService/CreateRun")
    request = m.CreateRunRequest(parent=TEAM, run=Run(parent=RUN, description="XXXX")).SerializeToString()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(request.replace(b"XXXX", b"\xff\xfe\xed\xa0"))

    assert caught.value.code() is INVALID
    assert explained(caught.value)[0] == "MALFORMED_MESSAGE"
    assert "UTF-8" in str(caught.value.details())


async def test_a_request_larger_than_a_message_may_be_is_refused(runs: Any, run: Run) -> None:
    request = m.BatchCreateRunsRequest(parent=TEAM, requests=[new(parent=RUN, description="d" * 5_000)] * 900)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runs.BatchCreateRuns(request)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (m.WatchRunsRequest(parent="workspaces/nowhere"), NOT_FOUND, "WORKSPACE_NOT_FOUND"),
        (m.WatchRunsRequest(parent=TEAM, names=[f"{TEAM}/runs/x"]), NOT_FOUND, "RUN_NOT_FOUND"),
        (m.WatchRunsRequest(parent=TEAM, filter="a ="), INVALID, "INVALID_FILTER"),
        (m.WatchRunsRequest(parent=TEAM, resume_token="forged"), INVALID, "INVALID_RESUME_TOKEN"),
        (m.WatchRunsRequest(parent=TEAM, names=[RUN] * 1_001), INVALID, "INVALID_FIELD"),
    ],
)
async def test_a_wrong_watch_ends_at_once(
    runs: Any, run: Run, request_: m.WatchRunsRequest, code: grpc.StatusCode, reason: str
) -> None:
    watch = runs.WatchRuns(request_)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch.read()

    assert (caught.value.code(), explained(caught.value)[0]) == (code, reason)
