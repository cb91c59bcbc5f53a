"""Creating runs and experiments: many at once, again, and with something in the way."""

import asyncio
import uuid
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from runstream_server.errors import InvalidField
from runstream_server.runs.errors import (
    ExperimentExists,
    ExperimentMismatch,
    ExperimentNotEmpty,
    ExperimentNotFound,
    RunExists,
    RunNotFound,
    TooManyProperties,
    TooManyTags,
    WorkspaceExists,
    WorkspaceNotEmpty,
    WorkspaceNotFound,
)
from runstream_server.runs.limits import PROPERTIES, TAGS
from runstream_server.runs.model import Edits, RunWarning
from runstream_server.runs.rules.creation import MOST_WAITING, TooManyCreations
from runstream_server.runs.status import RunStatus

T = TypeVar("T")

PLAIN: dict[str, Any] = {"description": "", "tags": {}, "request_id": None, "return_existing": False}


async def count(history: Any, table: str) -> int:
    return int(await history.postgres.fetchval(f"SELECT count(*) FROM runs.{table}"))


async def test_any_number_of_callers_get_the_same_experiment(history: Any, digits: str) -> None:
    made = await asyncio.gather(
        *(
            history.rules.experiments.create("team", display_name="new", **{**PLAIN, "return_existing": True})
            for _ in range(30)
        )
    )

    assert len({experiment.experiment for experiment in made}) == 1
    assert await count(history, "experiment") == 2
    assert await count(history, "run_counter") == 2


async def test_of_many_that_create_an_experiment_one_succeeds(history: Any, digits: str) -> None:
    creations = [history.rules.experiments.create("team", display_name="new", **PLAIN) for _ in range(20)]
    outcomes = await asyncio.gather(*creations, return_exceptions=True)

    assert sum(isinstance(outcome, ExperimentExists) for outcome in outcomes) == 19


async def test_a_repeated_request_for_a_workspace_or_an_experiment_makes_one(history: Any) -> None:
    request = {**PLAIN, "request_id": uuid.uuid4()}
    first = await history.rules.workspaces.create("team", display_name="", log_retention=None, **request)
    again = await history.rules.workspaces.create("team", display_name="", log_retention=None, **request)
    made = await asyncio.gather(
        *(history.rules.experiments.create("team", display_name="digits", **request) for _ in range(10))
    )
    other = await history.rules.experiments.create("team", display_name="another name", **request)

    assert first == again
    assert {experiment.experiment for experiment in [*made, other]} == {made[0].experiment}
    with pytest.raises(WorkspaceExists):
        await history.rules.workspaces.create("team", display_name="", log_retention=None, **PLAIN)


async def test_archiving_frees_a_name_and_reactivating_needs_it(history: Any, digits: str) -> None:
    experiments = history.rules.experiments
    archived = await experiments.archive("team", digits)
    history.clock.advance(5)
    again = await experiments.archive("team", digits)
    other = await history.make_experiment("digits")
    with pytest.raises(ExperimentExists, match="is called 'digits'"):
        await experiments.reactivate("team", digits)
    with pytest.raises(ExperimentExists):
        await experiments.update("team", await history.make_experiment("letters"), Edits(display_name="digits"))
    await experiments.update("team", other, Edits(display_name="numbers"))
    active = await experiments.reactivate("team", digits)

    assert archived == again
    assert archived.archive_time is not None
    assert other != digits
    assert active.archive_time is None
    assert await experiments.reactivate("team", digits) == active


async def test_experiments_are_listed_newest_first_by_view_and_filter(history: Any) -> None:
    names = ["a", "b", "c", "d"]
    made = {}
    for name in names:
        made[name] = await history.make_experiment(name)
        history.clock.advance(1)
    await history.rules.experiments.archive("team", made["b"])
    await history.rules.experiments.modify_tags("team", made["c"], {"kind": "x"}, [])

    async def listed(archived: bool | None, filter_text: str = "") -> str:
        found, token = "", ""
        while True:
            page, token = await history.rules.experiments.list(
                "team", archived=archived, filter_text=filter_text, page_size=1, page_token=token
            )
            found += "".join(experiment.display_name for experiment in page)
            if not token:
                return found

    assert await listed(False) == "dca"
    assert await listed(True) == "b"
    assert await listed(None) == "dcba"
    assert await listed(None, "tags.kind = x OR display_name = a") == "ca"
    assert await listed(None, "archive_time:*") == "b"
    assert await listed(None, "create_time < -2s AND NOT display_name = b") == "a"
    with pytest.raises(WorkspaceNotFound):
        await history.rules.experiments.list("nowhere", archived=None, filter_text="", page_size=1, page_token="")


async def test_what_holds_something_is_not_deleted(history: Any, digits: str) -> None:
    empty = await history.make_experiment("empty")
    await history.make_runs(history.new_run("r", experiment=digits))
    await history.rules.runs.set_deleted("team", ["r"], deleted=True)
    with pytest.raises(ExperimentNotEmpty):
        await history.rules.experiments.delete("team", digits)
    with pytest.raises(WorkspaceNotEmpty):
        await history.rules.workspaces.delete("team")
    await history.rules.experiments.delete("team", empty)
    with pytest.raises(ExperimentNotFound):
        await history.rules.experiments.delete("team", empty)

    assert await count(history, "run_counter") == 1


async def test_a_deleted_workspace_can_be_created_anew(history: Any) -> None:
    request = {**PLAIN, "request_id": uuid.uuid4()}
    await history.rules.workspaces.create("team", display_name="old", log_retention=None, **request)
    await history.rules.workspaces.delete("team")
    with pytest.raises(WorkspaceNotFound):
        await history.rules.workspaces.get("team")
    anew = await history.rules.workspaces.create("team", display_name="new", log_retention=None, **request)

    assert anew.display_name == "new"


async def test_an_experiment_is_deleted_or_gets_a_run_but_not_both(history: Any, digits: str) -> None:
    for number in range(15):
        experiment = await history.make_experiment(f"e{number}")
        outcomes = await asyncio.gather(
            history.rules.creations.create("team", history.new_run(experiment=experiment), None),
            history.rules.experiments.delete("team", experiment),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], ExperimentNotFound) != isinstance(outcomes[1], ExperimentNotEmpty)


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
    assert await count(history, "run") == 50


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


async def under_way(call: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """A call that has come to where it has to wait."""
    begun = asyncio.Event()

    async def begin() -> T:
        begun.set()
        return await call

    task = asyncio.create_task(begin())
    await begun.wait()
    return task


async def test_a_caller_that_gives_up_takes_nobody_with_it(history: Any, digits: str) -> None:
    create = history.rules.creations.create
    calls = [asyncio.ensure_future(create("team", history.new_run(experiment=digits), None)) for _ in range(9)]
    calls.append(await under_way(create("team", history.new_run(experiment=digits), None)))
    calls[4].cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [i == 4 for i in range(10)]


async def test_the_run_of_a_caller_that_gave_up_is_not_made_later(history: Any, digits: str) -> None:
    create = history.rules.creations.create
    gone = await under_way(create("team", history.new_run("gone", experiment=digits), None))
    gone.cancel()
    await create("team", history.new_run("there", experiment=digits), None)

    assert await history.postgres.fetchval("SELECT array_agg(run) FROM runs.run") == ["there"]


async def test_only_so_many_creations_wait(history: Any, digits: str) -> None:
    create = history.rules.creations.create
    calls = [create("team", history.new_run(experiment=digits), None) for _ in range(MOST_WAITING + 10)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert sum(isinstance(outcome, TooManyCreations) for outcome in outcomes) == 10
    assert await count(history, "run") == MOST_WAITING


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

    assert await count(history, "run") == 2
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


async def test_tags_changed_by_many_at_once_all_stay(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits, tags={f"old{i}": "" for i in range(20)}))
    modify = history.rules.runs.modify_tags
    await asyncio.gather(
        *(modify("team", "r", {f"new{number}": str(number)}, [f"old{number}"]) for number in range(20))
    )
    run, _ = await history.rules.runs.get("team", "r")

    assert run.tags == {f"new{number}": str(number) for number in range(20)}


async def test_there_is_room_for_a_thousand_tags_and_properties_and_no_more(history: Any, digits: str) -> None:
    runs, experiments = history.rules.runs, history.rules.experiments
    many = {f"k{number}": "v" for number in range(TAGS)}
    await history.make_runs(history.new_run("r", experiment=digits))
    assert len(await runs.modify_tags("team", "r", many, [])) == TAGS
    assert len(await runs.add_properties("team", "r", many)) == PROPERTIES
    assert len(await experiments.modify_tags("team", digits, many, [])) == TAGS

    with pytest.raises(TooManyTags, match="there may be 1000 tags"):
        await runs.modify_tags("team", "r", {"one more": None}, [])
    with pytest.raises(TooManyTags):
        await experiments.modify_tags("team", digits, {"one more": None}, [])
    with pytest.raises(TooManyProperties, match="there may be 1000 properties"):
        await runs.add_properties("team", "r", {"one more": ""})
    assert len(await runs.modify_tags("team", "r", {"one more": None}, ["k0"])) == TAGS


async def test_tags_and_properties_have_room_for_a_mebibyte_each(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits))
    half = {f"k{number}": "\N{SNOWMAN}" * 10_000 for number in range(17)}
    more = {f"l{number}": "\N{SNOWMAN}" * 10_000 for number in range(17)}
    very_much = {f"m{number}": "\N{SNOWMAN}" * 10_000 for number in range(1)}
    runs = history.rules.runs
    await runs.modify_tags("team", "r", half, [])
    await runs.modify_tags("team", "r", more, [])
    await runs.add_properties("team", "r", {**half, **more})

    with pytest.raises(TooManyTags, match="1048576 bytes together"):
        await runs.modify_tags("team", "r", very_much, [])
    with pytest.raises(TooManyProperties, match="1048576 bytes together"):
        await runs.add_properties("team", "r", very_much)


async def test_of_contradicting_properties_one_wins(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits))
    add = history.rules.runs.add_properties
    outcomes = await asyncio.gather(
        *(add("team", "r", {"seed": str(number), f"of{number}": ""}) for number in range(10)), return_exceptions=True
    )
    run, _ = await history.rules.runs.get("team", "r")

    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1
    assert set(run.properties) == {"seed", f"of{run.properties['seed']}"}


async def test_warnings_of_many_callers_are_each_kept_once(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits))
    add = history.rules.runs.add_warnings
    await asyncio.gather(
        *(add("team", "r", [RunWarning("metrics", f"warning {number % 5}", history.clock())]) for number in range(25))
    )
    run, _ = await history.rules.runs.get("team", "r")

    assert sorted(warning.message for warning in run.warnings) == [f"warning {number}" for number in range(5)]
