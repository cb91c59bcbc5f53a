"""Runs whose start and end the service hears of later: they keep the times that their caller tells."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from tests.append_clients import failure_of

BEGUN = datetime(2024, 2, 29, 12, 0, 0, 250, tzinfo=UTC)
ENDED = BEGUN + timedelta(hours=3)


def moment(time: datetime) -> Timestamp:
    told = Timestamp()
    told.FromDatetime(time)
    return told


def times(run: run_pb2.Run) -> tuple[datetime, datetime]:
    return run.start_time.ToDatetime(UTC), run.end_time.ToDatetime(UTC)


async def creation(runs: Any, experiment: str, run_id: str, **fields: Any) -> run_pb2.Run:
    run = run_pb2.Run(experiment=experiment, **fields.pop("run", {}))
    request = messages.CreateRunRequest(parent="workspaces/team", run=run, run_id=run_id, start=True, **fields)
    made: run_pb2.Run = (await runs.CreateRun(request)).run
    return made


async def test_a_run_keeps_the_times_it_is_told(runs: Any, experiment: str) -> None:
    before = datetime.now(UTC)
    made = await creation(runs, experiment, "run", start_time=moment(BEGUN))
    ended = (await runs.CompleteRun(messages.CompleteRunRequest(name=made.name, end_time=moment(ENDED)))).run
    found = (await runs.GetRun(messages.GetRunRequest(name=made.name))).run

    assert made.start_time.ToDatetime(UTC) == BEGUN
    assert times(ended) == times(found) == (BEGUN, ENDED)
    assert found.create_time.ToDatetime(UTC) >= before
    assert all(change.time.ToDatetime(UTC) >= before for change in found.status_history)


async def test_each_way_to_start_and_to_end_takes_a_time(runs: Any, create: Any) -> None:
    made = [await create() for _ in range(3)]
    parent = made[2].name
    child = await create(parent=parent, start=True)
    for run in made:
        await runs.StartRun(messages.StartRunRequest(name=run.name, start_time=moment(BEGUN)))
    await runs.CompleteRun(messages.CompleteRunRequest(name=made[0].name, end_time=moment(ENDED)))
    await runs.FailRun(messages.FailRunRequest(name=made[1].name, end_time=moment(ENDED)))
    await runs.CancelRun(messages.CancelRunRequest(name=parent, recursive=True, end_time=moment(ENDED)))

    found = (
        await runs.BatchGetRuns(
            messages.BatchGetRunsRequest(parent="workspaces/team", names=[*(run.name for run in made), child.name])
        )
    ).runs
    assert [times(run) for run in found[:3]] == [(BEGUN, ENDED)] * 3
    assert found[3].start_time == found[3].end_time == child.start_time


async def test_a_batch_has_a_time_for_each_run(runs: Any, experiment: str) -> None:
    requests = [
        messages.CreateRunRequest(
            run=run_pb2.Run(experiment=experiment), start=True, start_time=moment(BEGUN + timedelta(days=day))
        )
        for day in range(3)
    ]
    batch = messages.BatchCreateRunsRequest(parent="workspaces/team", requests=requests)
    made = (await runs.BatchCreateRuns(batch)).runs

    assert [run.start_time.ToDatetime(UTC) for run in made] == [BEGUN + timedelta(days=day) for day in range(3)]


async def test_a_clock_that_is_ahead_or_goes_back_makes_no_time_that_cannot_be(runs: Any, experiment: str) -> None:
    future = moment(datetime.now(UTC) + timedelta(days=2))
    ahead = await creation(runs, experiment, "ahead", start_time=future)
    ahead = (await runs.CompleteRun(messages.CompleteRunRequest(name=ahead.name, end_time=future))).run
    back = await creation(runs, experiment, "back", start_time=moment(ENDED))
    back = (await runs.CompleteRun(messages.CompleteRunRequest(name=back.name, end_time=moment(BEGUN)))).run

    assert ahead.start_time == ahead.create_time
    assert ahead.end_time == ahead.update_time
    assert times(back) == (ENDED, ENDED)


async def test_a_run_that_has_ended_keeps_its_end(runs: Any, experiment: str) -> None:
    made = await creation(runs, experiment, "run", start_time=moment(BEGUN))
    for end in (ENDED, ENDED + timedelta(hours=1)):
        run = (await runs.CompleteRun(messages.CompleteRunRequest(name=made.name, end_time=moment(end)))).run

    assert times(run) == (BEGUN, ENDED)


async def test_runs_are_filtered_and_ordered_by_the_times_they_are_told(runs: Any, experiment: str) -> None:
    for number in (1, 3, 2):
        made = await creation(runs, experiment, f"run-{number}", start_time=moment(BEGUN + timedelta(days=number)))
        end = moment(ENDED + timedelta(days=number))
        await runs.CompleteRun(messages.CompleteRunRequest(name=made.name, end_time=end))

    async def listed(**query: Any) -> list[str]:
        page = await runs.ListRuns(messages.ListRunsRequest(parent="workspaces/team", **query))
        return [run.name[-1] for run in page.runs]

    assert await listed(order_by="start_time") == ["1", "2", "3"]
    assert await listed(order_by="end_time desc") == ["3", "2", "1"]
    assert await listed(filter='start_time < "2024-03-02T00:00:00Z"') == ["1"]
    assert await listed(filter='end_time > "2024-03-02T00:00:00Z"', order_by="end_time") == ["2", "3"]


async def test_a_limit_of_time_counts_from_when_the_service_hears_of_the_run(history: Any, digits: str) -> None:
    limit = timedelta(seconds=60)
    old = history.clock() - timedelta(days=3)
    await history.make_runs(
        history.new_run("run", experiment=digits, max_run_duration=limit, start=True, start_time=old)
    )
    await history.reaper.make_pass()
    early = (await history.rules.runs.get("team", "run"))[0]
    history.clock.advance(61)
    await history.reaper.make_pass()

    assert (early.status, early.start_time) == ("Running", old)
    assert (await history.rules.runs.get("team", "run"))[0].status == "Canceled"


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("CreateRun", {"start": True, "start_time": Timestamp(seconds=-1)}, "start_time"),
        ("CreateRun", {"start_time": Timestamp(seconds=1)}, "start_time"),
        ("StartRun", {"start_time": Timestamp(seconds=-(2**63))}, "start_time"),
        ("CompleteRun", {"end_time": Timestamp(seconds=-1)}, "end_time"),
        ("FailRun", {"end_time": Timestamp(seconds=-1)}, "end_time"),
        ("CancelRun", {"end_time": Timestamp(seconds=-1)}, "end_time"),
    ],
)
async def test_a_time_that_cannot_be_is_refused(
    runs: Any, experiment: str, method: str, request_: dict[str, Any], field: str
) -> None:
    if method == "CreateRun":
        request_ = {**request_, "parent": "workspaces/team", "run": run_pb2.Run(experiment=experiment)}
    else:
        request_ = {**request_, "name": "workspaces/team/runs/run"}
    call = getattr(runs, method)(getattr(messages, f"{method}Request")(**request_))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert (await failure_of(call)).reason == "INVALID_FIELD"
    assert field in str(error.value.details())


async def test_a_time_that_no_calendar_has_counts_as_now(runs: Any, experiment: str) -> None:
    made = await creation(runs, experiment, "run", start_time=Timestamp(seconds=2**62, nanos=-1))

    assert made.start_time == made.create_time
