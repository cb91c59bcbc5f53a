"""Writers that want deleted runs to be refused."""

from typing import Any

import grpc
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream.api.runs.v1.workspace_pb2 import Tag
from tests import stubs
from tests.append_clients import doubles, failure_of
from tests.conftest import Backend


def writes(backend: Backend, run: str, sequence: int, *, refuse_deleted: bool) -> list[Any]:
    history = stubs.run_history(backend.channel)
    batch = metrics.MetricBatch(sequence=sequence, series=[doubles("m", [1.0])])
    return [
        history.ModifyTags(runs.ModifyTagsRequest(name=run, set=[Tag(key="a")], refuse_deleted=refuse_deleted)),
        history.AddProperties(
            runs.AddPropertiesRequest(name=run, properties={"a": "b"}, refuse_deleted=refuse_deleted)
        ),
        stubs.metrics(backend.channel).LogMetrics(
            metrics.LogMetricsRequest(run=run, writer="w", batch=batch, refuse_deleted=refuse_deleted)
        ),
    ]


async def check_refused(backend: Backend, run: str) -> None:
    for call in writes(backend, run, 1, refuse_deleted=True):
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        failure = await failure_of(call)
        assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_DELETED")


async def test_a_run_deleted_by_itself_or_with_its_experiment_refuses_who_wants_that(
    backend: Backend, run: str
) -> None:
    history = stubs.run_history(backend.channel)
    await history.DeleteRuns(runs.DeleteRunsRequest(parent="workspaces/space", names=[run]))
    await check_refused(backend, run)
    await history.RestoreRuns(runs.RestoreRunsRequest(parent="workspaces/space", names=[run]))
    found = (await history.GetRun(runs.GetRunRequest(name=run))).run
    archived = await history.ArchiveExperiment(runs.ArchiveExperimentRequest(name=found.experiment))
    await check_refused(backend, run)

    left = (await history.GetRun(runs.GetRunRequest(name=run))).run
    assert (list(left.tags), dict(left.properties)) == ([], {})
    assert left.experiment_archive_time == archived.experiment.archive_time
    await history.ReactivateExperiment(runs.ReactivateExperimentRequest(name=found.experiment))
    for call in writes(backend, run, 1, refuse_deleted=True):
        await call


async def test_a_deleted_run_takes_what_others_write(backend: Backend, run: str) -> None:
    await stubs.run_history(backend.channel).DeleteRuns(runs.DeleteRunsRequest(parent="workspaces/space", names=[run]))

    for call in writes(backend, run, 1, refuse_deleted=False):
        await call
