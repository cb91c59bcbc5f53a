"""How runs move from status to status: the store against the table, many callers at once, time passing."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest

from runstream_server.runs.errors import InvalidStatusChange, RunManaged, RunNotFound
from runstream_server.runs.limits import STATUS_HISTORY
from runstream_server.runs.model import RunEdits, RunError, StatusChange
from runstream_server.runs.status import FOLLOWERS, RunStatus
from runstream_server.runs.store.statuses import Move, move

S = RunStatus


async def put(history: Any, run: str, status: RunStatus) -> None:
    """Puts a run into a status without asking the status machine."""
    await history.postgres.execute(
        """
        UPDATE runs.run SET status = $2, start_time = now(),
               end_time = CASE WHEN $2 IN ('Completed', 'Failed', 'Canceled') THEN now() END
         WHERE run = $1
        """,
        run,
        status,
    )


async def status_of(history: Any, run: str) -> RunStatus:
    return RunStatus(await history.postgres.fetchval("SELECT status FROM runs.run WHERE run = $1", run))


async def test_the_statement_allows_what_the_table_allows_and_nothing_else(history: Any, digits: str) -> None:
    pairs = [(present, wanted) for present in S for wanted in S]
    await history.make_runs(*(history.new_run(f"{a}-{b}", experiment=digits) for a, b in pairs))
    wrong = []
    for present, wanted in pairs:
        run = f"{present}-{wanted}"
        await put(history, run, present)
        async with history.postgres.connection() as connection:
            [moved] = await move(connection, [("team", run)], Move(wanted=wanted), history.clock())
        allowed = wanted in FOLLOWERS[present]
        expected = (wanted if allowed else present, allowed or present.is_terminal or present is wanted, allowed)
        if (await status_of(history, run), moved.accepted, moved.is_changed) != expected:
            wrong.append((present, wanted))

    assert wrong == []


async def test_two_callers_end_a_run_only_once(history: Any, digits: str) -> None:
    runs = history.rules.runs
    names = [f"r{number}" for number in range(20)]
    await history.make_runs(*(history.new_run(name, experiment=digits, start=True) for name in names))
    for name in names:
        error = RunError("UserError", "no", "", "", history.clock())
        ended = await asyncio.gather(
            runs.complete("team", name),
            runs.fail("team", name, error),
            runs.cancel("team", name, recursive=False, reason=""),
        )
        completed, failed, (cancelled, _) = ended
        assert completed == failed == cancelled
        _, changes = await runs.get("team", name)
        assert [change.status for change in changes] == [S.NOT_STARTED, S.RUNNING, completed.status]
        assert (completed.error is not None) == (completed.status is S.FAILED)


async def test_a_history_written_by_many_at_once_is_a_walk_through_the_table(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits))
    wanted = [S.STARTING, S.QUEUED, S.PREPARING, S.RUNNING, S.PAUSING, S.PAUSED, S.QUEUED, S.RUNNING] * 4
    moves = [history.rules.runs.update("team", "r", RunEdits(), status, "") for status in wanted]
    outcomes = await asyncio.gather(*moves, return_exceptions=True)
    _, changes = await history.rules.runs.get("team", "r")
    statuses = [change.status for change in changes]

    assert all(isinstance(outcome, InvalidStatusChange) for outcome in outcomes if isinstance(outcome, Exception))
    assert all(after in FOLLOWERS[before] for before, after in itertools.pairwise(statuses))


async def test_an_illegal_change_names_both_statuses_and_changes_nothing_else(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits, display_name="old"))
    edits = RunEdits(display_name="new", hidden=True)
    with pytest.raises(
        InvalidStatusChange, match="workspaces/team/runs/r is NotStarted, which Completed cannot follow"
    ):
        await history.rules.runs.update("team", "r", edits, S.COMPLETED, "")
    run, _ = await history.rules.runs.get("team", "r")

    assert (run.display_name, run.hidden) == ("old", False)


async def test_an_ended_run_keeps_its_status_but_takes_other_changes(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits, start=True))
    ended = await history.rules.runs.complete("team", "r")
    history.clock.advance(5)
    error = RunError("E", "late", "", "", history.clock())
    run = await history.rules.runs.update("team", "r", RunEdits(description="why", error=error), S.FAILED, "")

    assert (run.status, run.end_time) == (S.COMPLETED, ended.end_time)
    assert (run.description, run.error) == ("why", error)
    assert run.update_time == history.clock()


async def test_each_status_is_kept_with_its_time_and_reason(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits))
    created = history.clock()
    history.clock.advance(1.25)
    await history.rules.runs.update("team", "r", RunEdits(), S.QUEUED, "waits for a GPU")
    queued = history.clock()
    history.clock.advance(2)
    run = await history.rules.runs.start("team", "r")
    started = history.clock()
    history.clock.advance(3)
    again = await history.rules.runs.start("team", "r")
    _, changes = await history.rules.runs.get("team", "r")

    assert changes == [
        StatusChange(S.NOT_STARTED, created, ""),
        StatusChange(S.QUEUED, queued, "waits for a GPU"),
        StatusChange(S.RUNNING, started, ""),
    ]
    assert run.start_time == started
    assert again == run


async def test_a_history_keeps_the_latest_thousand(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits, start=True))
    async with history.postgres.connection() as connection:
        for _ in range(STATUS_HISTORY // 2):
            for status in (S.NOT_RESPONDING, S.RUNNING):
                await move(connection, [("team", "r")], Move(wanted=status), history.clock())
    _, changes = await history.rules.runs.get("team", "r")

    assert len(changes) == STATUS_HISTORY
    assert [change.status for change in changes[:2]] == [S.NOT_RESPONDING, S.RUNNING]


async def test_a_run_that_a_runner_drives_refuses_its_user_but_not_its_runner(history: Any, digits: str) -> None:
    runs = history.rules.runs
    await history.make_runs(history.new_run("r", experiment=digits, service_managed=True, target="cluster"))
    for call in (runs.start, runs.complete):
        with pytest.raises(RunManaged, match="is NotStarted, and its status follows the process"):
            await call("team", "r")
    running = await runs.update("team", "r", RunEdits(), S.RUNNING, "")
    asked, changed = await runs.cancel("team", "r", recursive=False, reason="enough")
    again, changed_again = await runs.cancel("team", "r", recursive=False, reason="")
    confirmed = await runs.update("team", "r", RunEdits(), S.CANCELED, "")
    late = await runs.complete("team", "r")

    assert running.status is S.RUNNING
    assert (asked.status, asked.cancel_request_time, changed) == (S.CANCEL_REQUESTED, history.clock(), 1)
    assert (again, changed_again) == (asked, 0)
    assert confirmed.status is late.status is S.CANCELED


CANCELS: list[tuple[dict[str, Any], RunStatus, RunStatus]] = [
    ({"service_managed": True, "target": "cluster"}, S.QUEUED, S.CANCEL_REQUESTED),
    ({"service_managed": True, "target": "local"}, S.QUEUED, S.CANCELED),
    ({"service_managed": False, "target": "cluster"}, S.QUEUED, S.CANCELED),
    ({"service_managed": True, "target": "cluster"}, S.NOT_RESPONDING, S.CANCELED),
    ({"service_managed": False, "target": ""}, S.CANCEL_REQUESTED, S.CANCELED),
]


async def test_a_cancel_is_a_request_only_where_a_runner_can_answer(history: Any, digits: str) -> None:
    found = []
    for index, (fields, status, _) in enumerate(CANCELS):
        await history.make_runs(history.new_run(f"r{index}", experiment=digits, **fields))
        await put(history, f"r{index}", status)
        run, _ = await history.rules.runs.cancel("team", f"r{index}", recursive=False, reason="")
        found.append((fields, status, run.status))
        assert run.cancel_request_time == history.clock()

    assert found == CANCELS


async def test_failing_a_managed_run_is_final_and_asks_its_process_to_stop(history: Any, digits: str) -> None:
    runs = history.rules.runs
    await history.make_runs(history.new_run("r", experiment=digits, service_managed=True, target="cluster"))
    await runs.update("team", "r", RunEdits(), S.RUNNING, "")
    error = RunError("UserError", "boom", "ValueError", "trace", history.clock())
    failed = await runs.fail("team", "r", error)

    assert (failed.status, failed.error, failed.end_time) == (S.FAILED, error, history.clock())
    assert await runs.heartbeat("team", "r") == (S.FAILED, True)


async def test_cancelling_a_tree_cancels_each_run_by_its_own_rule(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("top", experiment=digits, start=True))
    await history.make_runs(
        history.new_run("done", parent="top", start=True),
        history.new_run("plain", parent="top", start=True),
        history.new_run("managed", parent="top", service_managed=True, target="cluster"),
    )
    await history.make_runs(history.new_run("deep", parent="done", start=True))
    await history.rules.runs.complete("team", "done")
    top, changed = await history.rules.runs.cancel("team", "top", recursive=True, reason="all of it")
    statuses = {name: await status_of(history, name) for name in ("done", "plain", "managed", "deep")}

    assert (top.status, changed) == (S.CANCELED, 4)
    assert statuses == {
        "done": S.COMPLETED,
        "plain": S.CANCELED,
        "managed": S.CANCEL_REQUESTED,
        "deep": S.CANCELED,
    }


async def test_a_parent_that_ends_leaves_its_children_alone(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("top", experiment=digits, start=True))
    await history.make_runs(history.new_run("child", parent="top", start=True))
    await history.rules.runs.cancel("team", "top", recursive=False, reason="")
    await history.make_runs(history.new_run("late", parent="top", start=True))

    assert await status_of(history, "child") is S.RUNNING
    assert await status_of(history, "late") is S.RUNNING


async def test_a_run_without_heartbeats_does_not_respond_until_the_next_one(history: Any, digits: str) -> None:
    runs = history.rules.runs
    await history.make_runs(
        history.new_run("silent", experiment=digits, heartbeat_enabled=True, start=True),
        history.new_run("lively", experiment=digits, heartbeat_enabled=True),
        history.new_run("free", experiment=digits, start=True),
    )
    await runs.start("team", "lively")
    history.clock.advance(119)
    await runs.heartbeat("team", "lively")
    await history.reaper.make_pass()
    early = await status_of(history, "silent")
    history.clock.advance(2)
    await history.reaper.make_pass()
    statuses = [await status_of(history, name) for name in ("silent", "lively", "free")]
    back = await runs.heartbeat("team", "silent")
    history.clock.advance(100)
    await history.reaper.make_pass()
    _, changes = await runs.get("team", "silent")

    assert early is S.RUNNING
    assert statuses == [S.NOT_RESPONDING, S.RUNNING, S.RUNNING]
    assert back == (S.RUNNING, False)
    assert await status_of(history, "silent") is S.RUNNING
    assert [(change.status, change.reason) for change in changes[2:]] == [
        (S.NOT_RESPONDING, "heartbeat lapsed"),
        (S.RUNNING, "heartbeat returned"),
    ]


async def test_heartbeats_are_kept_only_while_they_count(history: Any, digits: str) -> None:
    runs = history.rules.runs
    await history.make_runs(history.new_run("r", experiment=digits, heartbeat_enabled=True))

    async def kept() -> int:
        return int(await history.postgres.fetchval("SELECT count(*) FROM runs.heartbeat"))

    counts = [await kept()]
    await runs.start("team", "r")
    counts.append(await kept())
    await runs.update("team", "r", RunEdits(), S.PAUSING, "")
    counts.append(await kept())
    await runs.update("team", "r", RunEdits(), S.PAUSED, "")
    await runs.start("team", "r")
    counts.append(await kept())
    history.clock.advance(500)
    await history.reaper.make_pass()
    counts.append(await kept())
    await runs.heartbeat("team", "r")
    counts.append(await kept())
    await runs.complete("team", "r")
    counts.append(await kept())

    assert counts == [0, 1, 0, 1, 0, 1, 0]
    assert await runs.heartbeat("team", "r") == (S.COMPLETED, False)


async def test_a_run_over_its_time_is_cancelled_with_a_warning_that_names_the_limit(history: Any, digits: str) -> None:
    limit = timedelta(seconds=90)
    managed = {"service_managed": True, "target": "cluster"}
    await history.make_runs(
        history.new_run("plain", experiment=digits, max_run_duration=limit, start=True),
        history.new_run("managed", experiment=digits, max_run_duration=limit, start=True, **managed),
        history.new_run("waiting", experiment=digits, max_run_duration=limit),
        history.new_run("finished", experiment=digits, max_run_duration=limit, start=True),
        history.new_run("free", experiment=digits, start=True),
    )
    await history.rules.runs.complete("team", "finished")
    history.clock.advance(89)
    await history.reaper.make_pass()
    early = await status_of(history, "plain")
    history.clock.advance(2)
    await asyncio.gather(history.reaper.make_pass(), history.reaper.make_pass())
    names = ("plain", "managed", "waiting", "finished", "free")
    found = {name: (await history.rules.runs.get("team", name))[0] for name in names}

    assert early is S.RUNNING
    assert [found[name].status for name in names] == [
        S.CANCELED,
        S.CANCEL_REQUESTED,
        S.NOT_STARTED,
        S.COMPLETED,
        S.RUNNING,
    ]
    assert [len(found[name].warnings) for name in names] == [1, 1, 0, 0, 0]
    assert "time limit of 90 s" in found["plain"].warnings[0].message


async def test_time_at_rest_counts_towards_the_limit_and_stopping_ends_it(history: Any, digits: str) -> None:
    limit = timedelta(seconds=60)
    runs = history.rules.runs
    await history.make_runs(
        history.new_run("paused", experiment=digits, max_run_duration=limit, start=True),
        history.new_run("finalizing", experiment=digits, max_run_duration=limit, start=True),
    )
    await runs.update("team", "paused", RunEdits(), S.PAUSING, "")
    await runs.update("team", "finalizing", RunEdits(), S.FINALIZING, "")
    history.clock.advance(61)
    await history.reaper.make_pass()

    assert await status_of(history, "paused") is S.CANCELED
    assert await status_of(history, "finalizing") is S.FINALIZING


async def test_old_requests_are_forgotten_and_young_ones_are_not(history: Any, digits: str) -> None:
    identifiers = [(await history.postgres.fetchval("SELECT gen_random_uuid()")) for _ in range(2)]
    new = [history.new_run(name, experiment=digits) for name in ("a", "b")]
    await history.rules.creations.create("team", new[0], identifiers[0])
    history.clock.advance(3 * 86_400)
    await history.rules.creations.create("team", new[1], identifiers[1])
    await history.reaper.make_pass()

    assert await history.postgres.fetchval("SELECT array_agg(made[1]) FROM runs.request") == ["b"]


async def test_a_run_that_does_not_exist_is_named(history: Any, digits: str) -> None:
    runs = history.rules.runs
    await history.make_runs(history.new_run("r", experiment=digits))
    calls = [
        runs.get("team", "x"),
        runs.start("team", "x"),
        runs.complete("team", "x"),
        runs.cancel("team", "x", recursive=True, reason=""),
        runs.heartbeat("team", "x"),
        runs.modify_tags("team", "x", {"a": None}, []),
        runs.add_properties("team", "x", {"a": "b"}),
        runs.add_warnings("team", "x", []),
        runs.update("team", "x", RunEdits(hidden=True), None, ""),
        runs.set_deleted("team", ["r", "x"], deleted=True),
        runs.get_many("team", ["r", "x"]),
    ]
    for call in calls:
        with pytest.raises(RunNotFound, match="workspaces/team/runs/x does not exist"):
            await call

    assert (await runs.get("team", "r"))[0].delete_time is None


async def test_what_is_told_late_keeps_its_time_and_the_error_that_is_there(history: Any, digits: str) -> None:
    runs, at = history.rules.runs, history.clock()
    await history.make_runs(*(history.new_run(name, experiment=digits, start=True) for name in ("a", "b")))
    own, late = (RunError(code, "", "", "", at) for code in ("Own", "Late"))
    await runs.update("team", "a", RunEdits(error=own), None, "")

    ended = [
        await runs.update("team", name, RunEdits(error=late), S.FAILED, "", time=at, keep_error=True)
        for name in ("a", "b")
    ]
    again = await runs.update("team", "b", RunEdits(error=own), S.FAILED, "", keep_error=True)

    assert [(run.error.code, run.end_time) for run in ended] == [("Own", ended[0].start_time), ("Late", at)]
    assert again.error == late


async def test_a_run_whose_runner_is_lost_may_be_queued_again(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits, start=True))
    for status in (S.NOT_RESPONDING, S.QUEUED, S.PREPARING, S.RUNNING):
        run = await history.rules.runs.update("team", "r", RunEdits(), status, "")

    assert run.status is S.RUNNING
