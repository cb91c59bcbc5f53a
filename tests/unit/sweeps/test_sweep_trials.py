"""What the driver of a sweep knows of its runs."""

import json

from runstream.api.jobs.v1.job_pb2 import JobDefinition
from runstream.api.runs.v1 import run_pb2
from runstream.core._job.definition import JobPlan
from runstream.train.hyperdrive import GridParameterSampling, NoTerminationPolicy, PrimaryMetricGoal, choice
from runstream.train.hyperdrive._sweep import NUMBERS_PROPERTY, Sweep
from runstream.train.hyperdrive._trials import Trials

NAME = "workspaces/w/runs/sweep_0"


def trials() -> Trials:
    plan = JobPlan(definition=JobDefinition(), target="local", source_directory=None, max_run_duration_seconds=None)
    sweep = Sweep(
        sampling=GridParameterSampling({"x": choice(1, 2)}),
        policy=NoTerminationPolicy(),
        metric="score",
        goal=PrimaryMetricGoal.MAXIMIZE,
        max_total_runs=2,
        max_concurrent_runs=1,
        seed=0,
        plan=plan,
        properties={},
    )
    return Trials("sweep", sweep)


def record(status: "run_pb2.RunStatus.ValueType") -> run_pb2.Run:
    return run_pb2.Run(name=NAME, status=status, properties={NUMBERS_PROPERTY: json.dumps({"x": 0})})


def test_a_run_is_active_until_all_that_it_logged_is_read() -> None:
    known = trials()
    run = known.hear(record(run_pb2.RUN_STATUS_COMPLETED))
    assert run is not None

    assert known.active == [run]
    assert not known.tried[0].has_ended

    run.history.append(1.0)
    run.is_read = True
    assert not known.active
    assert known.tried[0].has_ended
    assert known.best is run


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

    run.history.append(float("nan"))

    assert known.best is None
    assert known.tried[0].result is None


def test_a_run_that_has_ended_is_not_begun_again_by_a_late_answer() -> None:
    known = trials()
    known.hear(record(run_pb2.RUN_STATUS_COMPLETED))

    run = known.hear(record(run_pb2.RUN_STATUS_QUEUED))

    assert run is not None
    assert run.has_ended
