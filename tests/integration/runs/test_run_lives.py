"""Runs on a port: creation, statuses, labels, listing, watching."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.run_pb2 import Run, RunError
from runstream.api.runs.v1.workspace_pb2 import Tag

WORKSPACE = "workspaces/team"


async def test_a_started_run_is_running_and_has_a_history(runs: Any, create: Any) -> None:
    run = await create(start=True)
    found = (await runs.GetRun(messages.GetRunRequest(name=run.name))).run

    assert found.status == run_pb2.RUN_STATUS_RUNNING
    assert [change.status for change in found.status_history] == [
        run_pb2.RUN_STATUS_NOT_STARTED,
        run_pb2.RUN_STATUS_RUNNING,
    ]
    assert found.HasField("start_time")
    assert not found.HasField("end_time")


async def test_the_response_of_a_creation_is_what_is_stored(runs: Any, create: Any) -> None:
    made = await create(start=True, tags=[Tag(key="a", value="b"), Tag(key="mark")], properties={"k": "v"})
    found = (await runs.GetRun(messages.GetRunRequest(name=made.name))).run
    del found.status_history[:]

    assert found == made


async def test_numbers_of_top_level_runs_have_no_gaps_even_with_many_at_once(create: Any) -> None:
    made = await asyncio.gather(*(create() for _ in range(40)))
    child = await create(parent=made[0].name)

    assert sorted(run.number for run in made) == list(range(1, 41))
    assert child.number == 0
    assert child.root == made[0].name


async def test_a_repeated_request_creates_once(create: Any) -> None:
    request_id = str(uuid.uuid4())
    made = await asyncio.gather(*(create(request_id=request_id) for _ in range(10)))

    assert len({run.name for run in made}) == 1


async def test_creations_at_once_fail_each_by_itself(create: Any) -> None:
    results = await asyncio.gather(
        create(run_id="same"),
        create(run_id="same"),
        create(parent=f"{WORKSPACE}/runs/missing"),
        create(experiment=f"{WORKSPACE}/experiments/missing"),
        create(run_id="other"),
        return_exceptions=True,
    )

    codes = [result.code() if isinstance(result, grpc.aio.AioRpcError) else "ok" for result in results]
    assert codes == [
        "ok",
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.NOT_FOUND,
        "ok",
    ]


async def test_a_batch_is_created_as_a_whole_or_not_at_all(runs: Any, experiment: str) -> None:
    def batch(*ids: str) -> messages.BatchCreateRunsRequest:
        requests = [messages.CreateRunRequest(run_id=each, run=Run(experiment=experiment)) for each in ids]
        return messages.BatchCreateRunsRequest(parent=WORKSPACE, requests=requests)

    await runs.BatchCreateRuns(batch("a", "b"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runs.BatchCreateRuns(batch("c", "b"))

    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert "requests[1]" in str(caught.value.details())
    listed = await runs.ListRuns(messages.ListRunsRequest(parent=WORKSPACE))
    assert sorted(run.name.rsplit("/")[-1] for run in listed.runs) == ["a", "b"]


async def test_a_batch_of_ten_thousand_is_one_call_and_one_more_is_refused(runs: Any, experiment: str) -> None:
    requests = [messages.CreateRunRequest(run=Run(experiment=experiment)) for _ in range(10_000)]
    made = await runs.BatchCreateRuns(messages.BatchCreateRunsRequest(parent=WORKSPACE, requests=requests))
    requests.append(requests[0])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runs.BatchCreateRuns(messages.BatchCreateRunsRequest(parent=WORKSPACE, requests=requests))

    assert [run.number for run in made.runs] == list(range(1, 10_001))
    assert "expected 1 to 10000; got 10001" in str(caught.value.details())


async def test_a_terminal_status_is_kept_and_late_calls_are_answered(runs: Any, create: Any) -> None:
    run = await create(start=True)
    failed = (await runs.FailRun(messages.FailRunRequest(name=run.name, error=RunError(message="no")))).run
    late = (await runs.CompleteRun(messages.CompleteRunRequest(name=run.name))).run
    cancelled = (await runs.CancelRun(messages.CancelRunRequest(name=run.name))).run

    assert failed.status == late.status == cancelled.status == run_pb2.RUN_STATUS_FAILED
    assert failed.error.code == "UserError"
    assert late.end_time == failed.end_time


async def test_a_status_that_cannot_follow_is_refused(runs: Any, create: Any) -> None:
    run = await create()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runs.CompleteRun(messages.CompleteRunRequest(name=run.name))

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "NotStarted, which Completed cannot follow" in str(caught.value.details())


async def test_a_managed_run_is_cancelled_by_request_and_not_started_by_a_user(runs: Any, create: Any) -> None:
    run = await create(service_managed=True, target="cluster")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runs.StartRun(messages.StartRunRequest(name=run.name))
    cancelled = (await runs.CancelRun(messages.CancelRunRequest(name=run.name))).run

    assert "RUN_MANAGED" in str(caught.value.trailing_metadata())
    assert cancelled.status == run_pb2.RUN_STATUS_CANCEL_REQUESTED
    assert (await runs.Heartbeat(messages.HeartbeatRequest(name=run.name))).cancel_requested


async def test_a_whole_tree_is_cancelled_on_request(runs: Any, create: Any) -> None:
    root = await create(start=True)
    child = await create(parent=root.name, start=True)
    grandchild = await create(parent=child.name, start=True)
    answer = await runs.CancelRun(messages.CancelRunRequest(name=root.name, recursive=True))
    found = (await runs.GetRun(messages.GetRunRequest(name=grandchild.name))).run

    assert answer.changed_count == 3
    assert found.status == run_pb2.RUN_STATUS_CANCELED


async def test_tags_are_set_and_removed_in_one_step(runs: Any, create: Any) -> None:
    run = await create(tags=[Tag(key="old", value="1"), Tag(key="kept")])
    request = messages.ModifyTagsRequest(name=run.name, set=[Tag(key="new"), Tag(key="x", value="")], remove=["old"])
    first = await runs.ModifyTags(request)
    again = await runs.ModifyTags(request)

    assert [(tag.key, tag.HasField("value")) for tag in first.tags] == [("kept", False), ("new", False), ("x", True)]
    assert first == again


async def test_a_property_with_another_value_refuses_the_whole_call(runs: Any, create: Any) -> None:
    run = await create(properties={"a": "1"})
    same = await runs.AddProperties(messages.AddPropertiesRequest(name=run.name, properties={"a": "1", "b": "2"}))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runs.AddProperties(messages.AddPropertiesRequest(name=run.name, properties={"c": "3", "a": "2"}))
    found = (await runs.GetRun(messages.GetRunRequest(name=run.name))).run

    assert dict(same.properties) == {"a": "1", "b": "2"} == dict(found.properties)
    assert "PROPERTY_CONFLICT" in str(caught.value.trailing_metadata())


async def test_a_watch_sends_every_change_and_resumes_without_a_gap(runs: Any, create: Any, replica: Any) -> None:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub

    run = await create(start=True)
    watch = runs.WatchRuns(messages.WatchRunsRequest(parent=WORKSPACE, names=[run.name], include_present=True))
    present = await next_change(watch)
    await runs.ModifyTags(messages.ModifyTagsRequest(name=run.name, set=[Tag(key="a")]))
    tagged = await next_change(watch)
    token = tagged.resume_token
    watch.cancel()
    await runs.CompleteRun(messages.CompleteRunRequest(name=run.name))
    elsewhere: Any = RunHistoryServiceStub(replica.channel)
    request = messages.WatchRunsRequest(parent=WORKSPACE, names=[run.name], resume_token=token)
    resumed = elsewhere.WatchRuns(request)
    completed = await next_change(resumed)
    await runs.ModifyTags(messages.ModifyTagsRequest(name=run.name, set=[Tag(key="b")]))
    last = await next_change(resumed)
    resumed.cancel()

    assert present.changes[0].run.status == run_pb2.RUN_STATUS_RUNNING
    assert [tag.key for tag in tagged.changes[0].run.tags] == ["a"]
    assert completed.changes[0].run.status == run_pb2.RUN_STATUS_COMPLETED
    assert [tag.key for tag in last.changes[0].run.tags] == ["a", "b"]


async def test_a_watch_by_filter_says_what_left_it_and_what_was_deleted(runs: Any, create: Any) -> None:
    watch = runs.WatchRuns(messages.WatchRunsRequest(parent=WORKSPACE, filter="status = Running"))
    await watch.read()
    run = await create(start=True)
    kinds = [(await next_change(watch)).changes[0].kind]
    await runs.CompleteRun(messages.CompleteRunRequest(name=run.name))
    kinds.append((await next_change(watch)).changes[0].kind)
    await runs.DeleteRuns(messages.DeleteRunsRequest(parent=WORKSPACE, names=[run.name]))
    kinds.append((await next_change(watch)).changes[0].kind)
    watch.cancel()

    assert kinds == [
        messages.RUN_CHANGE_KIND_UPDATED,
        messages.RUN_CHANGE_KIND_OUTSIDE,
        messages.RUN_CHANGE_KIND_DELETED,
    ]


async def test_a_forged_resume_token_is_refused(runs: Any, create: Any) -> None:
    watch = runs.WatchRuns(messages.WatchRunsRequest(parent=WORKSPACE, resume_token="AAAA"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await next_change(watch)

    assert "INVALID_RESUME_TOKEN" in str(caught.value.trailing_metadata())


async def next_change(watch: Any) -> messages.WatchRunsResponse:
    """The next message that has changes."""
    async with asyncio.timeout(20):
        while not (message := await watch.read()).changes:
            """Idle."""
        return message  # type: ignore[no-any-return]
