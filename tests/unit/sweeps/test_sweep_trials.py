"""What the driver of a sweep knows of its runs."""

import json

from runstream.api.jobs.v1.job_pb2 import JobDefinition
from runstream.api.runs.v1 import run_pb2
from runstream.core._job.definition import JobPlan
from runstream.train.hyperdrive import (
    BanditPolicy,
    EarlyTerminationPolicy,
    GridParameterSampling,
    NoTerminationPolicy,
    PrimaryMetricGoal,
    choice,
)
from runstream.train.hyperdrive._sweep import NUMBERS_PROPERTY, REPLACES_PROPERTY, STOPPED_PROPERTY, Sweep
from runstream.train.hyperdrive._trials import MOST_STARTS, Trials

NAME = "workspaces/w/runs/sweep_0"


def trials(policy: EarlyTerminationPolicy | None = None) -> Trials:
    plan = JobPlan(definition=JobDefinition(), target="local", source_directory=None, max_run_duration_seconds=None)
    sweep = Sweep(
        sampling=GridParameterSampling({"x": choice(1, 2)}),
        policy=policy or NoTerminationPolicy(),
        metric="score",
        goal=PrimaryMetricGoal.MAXIMIZE,
        max_total_runs=2,
        max_concurrent_runs=1,
        seed=0,
        plan=plan,
        properties={},
    )
    return Trials("sweep", sweep)


def record(status: "run_pb2.RunStatus.ValueType", index: int = 0, error: str = "", **properties: str) -> run_pb2.Run:
    return run_pb2.Run(
        name=f"workspaces/w/runs/sweep_{index}",
        status=status,
        properties={NUMBERS_PROPERTY: json.dumps({"x": 0}), **properties},
        error=run_pb2.RunError(code=error) if error else None,
    )


def test_a_run_is_active_until_all_that_it_logged_is_read() -> None:
    known = trials()
    run = known.hear(record(run_pb2.RUN_STATUS_COMPLETED))
    assert run is not None

    assert known.active == [run]
    assert not known.tried[0].has_ended

    known.take(run, [1.0])
    run.is_read = True
    assert not known.active
    assert known.tried[0].has_ended
    assert known.best is run


def test_a_run_makes_room_when_what_it_had_logged_is_known_though_more_may_come() -> None:
    known = trials()
    run = known.hear(record(run_pb2.RUN_STATUS_RUNNING))
    assert run is not None
    known.take(run, [1.0])
    run.is_caught_up = True
    assert known.under_way == [run]

    known.hear(record(run_pb2.RUN_STATUS_COMPLETED))

    assert known.under_way == []
    assert known.tried[0].has_ended
    assert known.active == [run]


def test_a_deleted_run_is_not_waited_for() -> None:
    known = trials()
    known.hear(record(run_pb2.RUN_STATUS_RUNNING))

    known.lose(NAME)

    assert not known.active
    assert known.next_index == 1


def test_a_run_that_logged_no_number_is_never_the_best() -> None:
    known = trials()
    run = known.hear(record(run_pb2.RUN_STATUS_COMPLETED))
    assert run is not None

    known.take(run, [float("nan")])

    assert known.best is None
    assert known.tried[0].result is None


def test_a_run_that_has_ended_is_not_begun_again_by_a_late_answer() -> None:
    known = trials()
    known.hear(record(run_pb2.RUN_STATUS_COMPLETED))

    run = known.hear(record(run_pb2.RUN_STATUS_QUEUED))

    assert run is not None
    assert run.has_ended


def test_a_run_is_judged_again_by_what_others_log_later() -> None:
    known = trials(BanditPolicy(slack_amount=0.1, evaluation_interval=2))
    silent, rival = (known.hear(record(run_pb2.RUN_STATUS_RUNNING, index)) for index in range(2))
    assert silent is not None
    assert rival is not None

    assert not known.take(silent, [0.1, 0.2, 0.3])
    assert not known.take(rival, [0.1])
    assert known.judge_again() == []

    assert not known.take(rival, [0.9])
    assert known.judge_again() == [silent]
    assert known.judge_again() == []


def test_a_run_that_has_ended_is_not_judged_again() -> None:
    known = trials(BanditPolicy(slack_amount=0.1))
    for index, value in enumerate((0.1, 0.9)):
        run = known.hear(record(run_pb2.RUN_STATUS_RUNNING, index))
        assert run is not None
        known.take(run, [value])
        known.hear(record(run_pb2.RUN_STATUS_COMPLETED, index))

    assert known.judge_again() == []


def test_what_the_policy_decided_is_known_to_the_next_driver() -> None:
    known = trials()

    run = known.hear(record(run_pb2.RUN_STATUS_RUNNING))
    stopped = known.hear(record(run_pb2.RUN_STATUS_CANCELED, 1, **{STOPPED_PROPERTY: "BanditPolicy"}))

    assert run is not None
    assert stopped is not None
    assert (run.is_stopped, stopped.is_stopped) == (False, True)


def test_a_run_that_no_runner_started_is_replaced_once() -> None:
    known = trials()
    unstarted = known.hear(record(run_pb2.RUN_STATUS_FAILED, 0, "RunnerNotStarted"))
    known.hear(record(run_pb2.RUN_STATUS_FAILED, 1, "UserError"))

    assert known.to_replace is unstarted
    assert known.ordinal(known.next_index) == 2

    known.hear(record(run_pb2.RUN_STATUS_QUEUED, 2, **{REPLACES_PROPERTY: "0"}))

    assert known.to_replace is None
    assert (known.next_index, known.ordinal(known.next_index)) == (3, 2)


def test_hyperparameters_whose_runs_are_never_started_are_given_up() -> None:
    known = trials()
    known.hear(record(run_pb2.RUN_STATUS_FAILED, 0, "RunnerNotStarted"))
    for index in range(1, MOST_STARTS):
        assert known.to_replace is not None
        failed = record(run_pb2.RUN_STATUS_FAILED, index, "RunnerNotStarted", **{REPLACES_PROPERTY: str(index - 1)})
        known.hear(failed)

    assert known.to_replace is None
    assert known.ordinal(known.next_index) == 1
