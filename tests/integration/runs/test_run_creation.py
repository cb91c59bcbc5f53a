"""Creating runs: many at once, again, and with something in the way."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest

from runstream_server.errors import InvalidField
from runstream_server.runs.errors import (
    ExperimentMismatch,
    ExperimentNotFound,
    RunExists,
    RunNotFound,
)
from runstream_server.runs.rules.creation import MOST_WAITING, TooManyCreations
from runstream_server.runs.status import RunStatus
from tests.conditions import begun


async def test_a_repeated_batch_gives_the_runs_of_the_first_as_they_are_now(history: Any, digits: str) -> None:
    request_id = uuid.uuid4()

    def batch() -> Any:
        new = [history.new_run(experiment=digits) for _ in range(50)]
        return history.rules.creations.create_batch("team", new, request_id)

    first, is_new = await batch()
    await history.rules.runs.start("team", first[3].run)
    outcomes = await asyncio.gather(*(batch() for _ in range(4)))

    assert is_new
    assert [([run.run for run in runs], is_new) for runs, is_new in outcomes] == [
        ([run.run for run in first], False)
    ] * 4
    assert outcomes[0][0][3].status is RunStatus.RUNNING
    assert await history.count("run") == 50


async def test_a_repeated_create_with_an_id_of_the_callers_choice_is_no_conflict(history: Any, digits: str) -> None:
    request_id = uuid.uuid4()
    create = history.rules.creations.create
    made = await asyncio.gather(
        *(create("team", history.new_run("mine", experiment=digits), request_id) for _ in range(8))
    )
    with pytest.raises(RunExists, match="workspaces/team/runs/mine exists; choose another run_id"):
        await create("team", history.new_run("mine", experiment=digits), uuid.uuid4())

    assert {run.run for run, _ in made} == {"mine"}
    assert sum(is_new for _, is_new in made) == 1


async def test_each_of_many_creates_at_once_has_its_own_outcome(history: Any, digits: str) -> None:
    other = await history.make_experiment("letters")
    elsewhere = await history.make_experiment("digits", "other")
    await history.make_runs(history.new_run("parent", experiment=digits))
    create, new = history.rules.creations.create, history.new_run
    outcomes = await asyncio.gather(
        create("team", new("a", experiment=digits), None),
        create("team", new("a", experiment=digits), None),
        create("team", new("b", parent="parent"), None),
        create("team", new("c", parent="parent", experiment=other), None),
        create("team", new("d", parent="missing"), None),
        create("team", new("e", experiment="missing"), None),
        create("team", new("f", experiment=elsewhere), None),
        create("nowhere", new("g", experiment=digits), None),
        create("other", new("a", experiment=elsewhere), None),
        create("team", new("h", experiment=other), None),
        return_exceptions=True,
    )
    kinds = ["Run" if isinstance(outcome, tuple) else type(outcome).__name__ for outcome in outcomes]

    assert kinds == [
        "Run",
        "RunExists",
        "Run",
        "ExperimentMismatch",
        "RunNotFound",
        "ExperimentNotFound",
        "ExperimentNotFound",
        "WorkspaceNotFound",
        "Run",
        "Run",
    ]
    assert [outcome[0].number for outcome in outcomes if isinstance(outcome, tuple)] == [2, 0, 1, 1]


async def test_a_caller_that_gives_up_takes_nobody_with_it(history: Any, digits: str) -> None:
    create = history.rules.creations.create
    calls = [asyncio.ensure_future(create("team", history.new_run(experiment=digits), None)) for _ in range(9)]
    calls.append(await begun(create("team", history.new_run(experiment=digits), None)))
    calls[4].cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [i == 4 for i in range(10)]


async def test_the_run_of_a_caller_that_gave_up_is_not_made_later(history: Any, digits: str) -> None:
    create = history.rules.creations.create
    gone = await begun(create("team", history.new_run("gone", experiment=digits), None))
    gone.cancel()
    await create("team", history.new_run("there", experiment=digits), None)

    assert await history.postgres.fetchval("SELECT array_agg(run) FROM runs.run") == ["there"]


async def test_only_so_many_creations_wait(history: Any, digits: str) -> None:
    create = history.rules.creations.create
    calls = [create("team", history.new_run(experiment=digits), None) for _ in range(MOST_WAITING + 10)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert sum(isinstance(outcome, TooManyCreations) for outcome in outcomes) == 10
    assert await history.count("run") == MOST_WAITING


async def test_refused_creates_leave_no_gap_in_the_numbers(history: Any, digits: str) -> None:
    create, new = history.rules.creations.create, history.new_run
    for number in range(1, 6):
        made, _ = await create("team", new(f"r{number}", experiment=digits), None)
        with pytest.raises(RunExists):
            await create("team", new(f"r{number}", experiment=digits), None)
        assert made.number == number


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"run": "taken"}, RunExists, r"requests\[1\]: workspaces/team/runs/taken exists"),
        ({"parent": "missing"}, RunNotFound, r"requests\[1\]: workspaces/team/runs/missing does not exist"),
        ({"parent": "first"}, RunNotFound, r"requests\[1\]: workspaces/team/runs/first does not exist"),
        ({"experiment": "nope"}, ExperimentNotFound, r"requests\[1\]: workspaces/team/experiments/nope does not exist"),
        ({"parent": "taken", "experiment": "e"}, ExperimentNotFound, r"requests\[1\]"),
        ({"run": "first"}, InvalidField, r"requests\[1\]\.run_id: 'first' is there twice"),
    ],
)
async def test_one_bad_run_refuses_its_batch_and_is_named(
    history: Any, digits: str, bad: dict[str, Any], error: type[Exception], message: str
) -> None:
    await history.make_runs(history.new_run("taken", experiment=digits))
    wrong = {"run": "second", **({} if "parent" in bad else {"experiment": digits}), **bad}
    new = [
        history.new_run("first", experiment=digits),
        history.new_run(**wrong),
        history.new_run("x", experiment=digits),
    ]
    with pytest.raises(error, match=message):
        await history.make_runs(*new)
    [after] = await history.make_runs(history.new_run(experiment=digits))

    assert await history.count("run") == 2
    assert after.number == 2


async def test_a_parent_of_another_experiment_is_named_with_it(history: Any, digits: str) -> None:
    other = await history.make_experiment("letters")
    await history.make_runs(history.new_run("parent", experiment=digits))
    with pytest.raises(ExperimentMismatch, match=f"belongs to workspaces/team/experiments/{digits}, not to"):
        await history.make_runs(history.new_run(parent="parent", experiment=other))


async def test_runs_of_a_batch_get_what_each_was_given(history: Any, digits: str) -> None:
    other = await history.make_experiment("letters")
    await history.make_runs(history.new_run("top", experiment=digits))
    await history.make_runs(history.new_run("middle", parent="top"))
    new = [
        history.new_run("a", experiment=digits, description="d" * 5_000, start=True),
        history.new_run("b", experiment=other, max_run_duration=timedelta(hours=1), creator="me"),
        history.new_run("c", parent="middle", experiment=digits, heartbeat_enabled=True, start=True),
        history.new_run("d", parent="top", tags={"\N{SNOWMAN}": None, "k": "\\u0000"}, properties={"p": '"'}),
        history.new_run("e", experiment=digits, hidden=True, script_name="train.py", label="l", run_type="t"),
    ]
    made = await history.make_runs(*new)
    stored = await history.rules.runs.get_many("team", list("abcde"))

    assert made == stored
    assert [(run.experiment_display_name, run.parent, run.root, run.number) for run in made] == [
        ("digits", None, "a", 2),
        ("letters", None, "b", 1),
        ("digits", "middle", "top", 0),
        ("digits", "top", "top", 0),
        ("digits", None, "e", 3),
    ]
    assert await history.postgres.fetchval("SELECT array_agg(run) FROM runs.heartbeat") == ["c"]
