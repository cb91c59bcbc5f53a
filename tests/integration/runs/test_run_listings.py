"""Listing runs: what filters admit, in which order, page by page."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from runstream_server.errors import InvalidPageToken
from runstream_server.runs import limits
from runstream_server.runs.errors import InvalidFilter, InvalidOrder, WorkspaceNotFound
from runstream_server.runs.model import MetricSummary, RunEdits, RunError
from runstream_server.runs.status import RunStatus

NAN, INF = float("nan"), float("inf")


async def listed(
    history: Any, filter_text: str = "", order_text: str = "", workspace: str = "team", **more: Any
) -> str:
    """The identifiers of all runs of a listing, read in pages of two."""
    runs: list[str] = []
    token = ""
    arguments = {"show_deleted": False, "full": False, "page_size": 2, **more}
    while True:
        page, _, token = await history.rules.listings.page(
            workspace, filter_text=filter_text, order_text=order_text, page_token=token, **arguments
        )
        runs += [run.run for run in page]
        if not token:
            return " ".join(runs)


@pytest.fixture
async def tree(history: Any, digits: str) -> Any:
    """Six runs, a second apart, e the newest: a, its children b and c, b's child d; e and f of other experiments."""
    other = await history.make_experiment("letters")
    new = history.new_run
    summaries = history.rules.runs.record_summaries
    made = [
        new("a", experiment=digits, run_type="sweep", creator="ann", tags={"team": "red", "mark": None}, start=True),
        new("b", parent="a", display_name="brave heron", target="local", properties={"a.b": "x", "n": "1"}),
        new("c", parent="a", description="100% sure_ly", tags={"team": "blue", "lr": "0.1"}, start=True),
        new("d", parent="b", creator="bob", tags={"team": "red", "empty": "", "odd key": 'it\'s \\ "so"'}),
        new("e", experiment=other, run_type="sweep*", creator="ann"),
        new("f", experiment=other, hidden=True, tags={"team": "red"}),
    ]
    for each in made:
        await history.make_runs(each)
        history.clock.advance(1)
    await history.rules.runs.complete("team", "c")
    await summaries(
        "team",
        {
            "a": [MetricSummary("loss", 0.5, 0.1, 0.9, 10, 1), MetricSummary("val/loss", 1.0, 1.0, 1.0, 1, 1)],
            "b": [MetricSummary("loss", NAN, 0.2, 0.8, 20, 1)],
            "c": [MetricSummary("loss", INF, 0.3, INF, 10, 1)],
            "d": [MetricSummary("loss", None, None, None, 5, 1)],
        },
    )
    return history


FILTERS = [
    ("", "e d c b a"),
    ("status = Running", "a"),
    ("status != NotStarted", "c a"),
    ("status = Running OR status = Completed", "c a"),
    ("NOT status = NotStarted", "c a"),
    ("parent = a", "c b"),
    ("parent = workspaces/team/runs/b", "d"),
    ("NOT parent:*", "e a"),
    ("parent:*", "d c b"),
    ("parent != a", "e d a"),
    ("ancestor = a", "d c b"),
    ("ancestor = b", "d"),
    ("ancestor != a", "e a"),
    ("-ancestor:*", "e a"),
    ("root = a", "d c b a"),
    ("root = b", ""),
    ("root = e", "e"),
    ("run_id = a OR run_id = c", "c a"),
    ("run_id : a", "a"),
    ("number = 1", "e a"),
    ("number > 0 AND experiment = digits", "a"),
    ("experiment = digits", "d c b a"),
    ("experiment != digits", "e"),
    ("experiment = nothing", ""),
    ("experiment != nothing", "e d c b a"),
    ("experiment = let*", "e"),
    ("experiment : dig", "d c b a"),
    ("run_type = sweep", "a"),
    ("run_type = sweep*", "e a"),
    ('run_type = "sweep\\*"', "e"),
    ("run_type:*", "e a"),
    ("-run_type:*", "d c b"),
    ("display_name = brave*", "b"),
    ('display_name = "* heron"', "b"),
    ("display_name : hero", "b"),
    ('description = "100%*"', "c"),
    ('description : "% sure_"', "c"),
    ('description = "100_*"', ""),
    ("creator = ann", "e a"),
    ("creator > ann creator < c", "d"),
    ("target = local", "b"),
    ("hidden = true", "f"),
    ("hidden = true OR status = Running", "f a"),
    ("tags.team = red", "d a"),
    ("tags.team != red", "e c b"),
    ("tags.team = r*", "d a"),
    ("tags.team = *", "d c a"),
    ("tags.team : l", "c"),
    ("tags.mark = null", "a"),
    ('tags.mark = "null"', ""),
    ('tags.empty = ""', "d"),
    ("tags.mark:*", "a"),
    ("tags:mark", "a"),
    ("tags:*", "d c a"),
    ("-tags:*", "e b"),
    ('tags."odd key":*', "d"),
    ('tags."odd key" = "it\'s \\\\ \\"so\\""', "d"),
    ("tags.lr < 0.2", "c"),
    ('properties."a.b" = x', "b"),
    ("properties:n", "b"),
    ("properties.n = 2", ""),
    ("metrics.loss.last < 1", "a"),
    ("metrics.loss.last = nan", "b"),
    ("metrics.loss.last != nan", "e d c a"),
    ("metrics.loss.last = inf", "c"),
    ("metrics.loss.last > 0.5", "c"),
    ("metrics.loss.last != 0.5", "e d c b"),
    ("metrics.loss.last:*", "c b a"),
    ("metrics.loss.min:*", "c b a"),
    ("-metrics.loss.min:*", "e d"),
    ("metrics.loss:*", "d c b a"),
    ('metrics:"val/loss"', "a"),
    ("metrics.loss.count >= 10", "c b a"),
    ("metrics.loss.min < 0.25 metrics.loss.max > 0.85", "a"),
    ('metrics."val/loss".max = 1', "a"),
    ("start_time:*", "c a"),
    ("end_time:*", "c"),
    ("create_time < -4s", "b a"),
    ("create_time >= 2025-06-01T12:00:03Z", "e d"),
    ("create_time <= 2025-06-01T14:00:01+02:00", "b a"),
    ("(status = Running OR tags.team = blue) AND creator = ann", "a"),
]


async def test_filters_admit_what_they_say(tree: Any) -> None:
    found = [(text, await listed(tree, text)) for text, _ in FILTERS]

    assert found == FILTERS


ORDERS = [
    ("create_time desc", "e d c b a"),
    ("create_time", "a b c d e"),
    ("run_id", "a b c d e"),
    ("run_id desc", "e d c b a"),
    ("creator", "e a d c b"),
    ("number desc", "e a d c b"),
    ("start_time", "a c e d b"),
    ("start_time desc", "c a e d b"),
    ("end_time desc", "c e d b a"),
    ("status", "c e d b a"),
    ("parent desc", "d c b e a"),
    ("root", "d c b a e"),
    ("tags.team", "c d a e b"),
    ("tags.team desc", "d a c e b"),
    ('properties."a.b"', "b e d c a"),
    ("metrics.loss.last", "a c e d b"),
    ("metrics.loss.last desc", "c a e d b"),
    ("metrics.loss.min", "a b c e d"),
    ("metrics.loss.max desc", "c a b e d"),
    ("metrics.loss.count", "d c a b e"),
    ("metrics.loss.count desc", "b c a d e"),
    ("metrics.nothing.min", "e d c b a"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_runs_are_ordered_with_the_fieldless_last_and_equal_ones_newest_first(tree: Any, size: int) -> None:
    found = [(order, await listed(tree, "", order, page_size=size)) for order, _ in ORDERS]

    assert found == ORDERS


FILTERED_ORDERS = [
    ("metrics.loss.min < 0.25", "metrics.loss.min desc", "b a"),
    ("metrics.loss.last = nan", "metrics.loss.last", "b"),
    ("metrics.loss.count > 5", "metrics.loss.last desc", "c a b"),
    ("-metrics.loss.last:*", "metrics.loss.last", "e d"),
    ('metrics."val/loss".last = 1', "metrics.loss.last", "a"),
    ("tags.team = red AND metrics.loss.max < 2", "metrics.loss.max", "a"),
    ("experiment = digits", "metrics.loss.min desc", "c b a d"),
    ("experiment = letters", "metrics.loss.min", "e"),
    ("hidden = true", "metrics.loss.min", "f"),
    ("ancestor = a", "metrics.loss.max", "b c d"),
]


async def test_a_filter_and_an_order_by_metric_go_together(tree: Any) -> None:
    found = [(text, order, await listed(tree, text, order)) for text, order, _ in FILTERED_ORDERS]

    assert found == FILTERED_ORDERS


async def test_deleted_runs_are_listed_only_on_request(tree: Any) -> None:
    changed = await tree.rules.runs.set_deleted("team", ["b", "c"], deleted=True)
    again = await tree.rules.runs.set_deleted("team", ["b", "c", "d"], deleted=True)
    without = await listed(tree)
    restored = await tree.rules.runs.set_deleted("team", ["b"], deleted=False)

    assert (changed, again, restored) == (2, 1, 1)
    assert without == "e a"
    assert await listed(tree) == "e b a"
    assert await listed(tree, show_deleted=True) == "e d c b a"
    assert await listed(tree, "parent = a", "metrics.loss.min", show_deleted=True) == "b c"


async def test_a_change_that_was_acknowledged_is_seen_by_the_next_listing(tree: Any) -> None:
    for number in range(10):
        await tree.rules.runs.modify_tags("team", "b", {"turn": str(number)}, [])
        assert await listed(tree, f"tags.turn = {number}") == "b"


async def test_runs_of_one_batch_are_listed_in_reverse_order(history: Any, digits: str) -> None:
    made = await history.make_runs(*(history.new_run(experiment=digits) for _ in range(25)))

    assert await listed(history, page_size=7) == " ".join(run.run for run in reversed(made))


async def test_what_does_not_change_is_listed_once_whatever_happens_meanwhile(history: Any, digits: str) -> None:
    steady = await history.make_runs(*(history.new_run(experiment=digits, tags={"steady": None}) for _ in range(30)))
    restless = await history.make_runs(*(history.new_run(experiment=digits) for _ in range(30)))
    seen: list[str] = []
    token = ""
    while True:
        page, _, token = await history.rules.listings.page(
            "team",
            filter_text="",
            order_text="update_time desc",
            page_size=7,
            page_token=token,
            show_deleted=False,
            full=False,
        )
        seen += [run.run for run in page]
        history.clock.advance(1)
        await history.rules.runs.modify_tags("team", restless[len(seen) % 30].run, {"turn": str(len(seen))}, [])
        await history.make_runs(history.new_run(experiment=digits))
        if not token:
            break

    assert sorted(seen.count(run.run) for run in steady) == [1] * 30


async def test_a_duration_in_a_filter_counts_from_the_first_page(history: Any, digits: str) -> None:
    await history.make_runs(*(history.new_run(experiment=digits) for _ in range(4)))
    arguments = {
        "filter_text": "create_time > -60s",
        "order_text": "",
        "page_size": 2,
        "show_deleted": False,
        "full": False,
    }
    first, _, token = await history.rules.listings.page("team", page_token="", **arguments)
    history.clock.advance(3_600)
    second, _, _ = await history.rules.listings.page("team", page_token=token, **arguments)
    anew, _, _ = await history.rules.listings.page("team", page_token="", **arguments)

    assert (len(first), len(second), len(anew)) == (2, 2, 0)


async def page_token(history: Any, **arguments: Any) -> str:
    given = {
        "filter_text": "",
        "order_text": "",
        "page_size": 2,
        "show_deleted": False,
        "full": False,
        "page_token": "",
    }
    _, _, token = await history.rules.listings.page("team", **{**given, **arguments})
    return str(token)


async def test_a_page_token_is_good_for_its_listing_only(tree: Any) -> None:
    token = await page_token(tree)
    await page_token(tree, page_token=token, page_size=4)
    changes: list[dict[str, Any]] = [
        {"filter_text": "status = Running"},
        {"order_text": "create_time"},
        {"show_deleted": True},
        {"full": True},
    ]

    for change in changes:
        with pytest.raises(InvalidPageToken):
            await page_token(tree, page_token=token, **change)


async def test_a_page_token_does_not_lead_into_another_workspace(tree: Any) -> None:
    token = await page_token(tree)
    await tree.make_experiment("digits", "other")

    with pytest.raises(InvalidPageToken):
        await listed_once(tree, "other", token)


async def listed_once(history: Any, workspace: str, token: str) -> Sequence[Any]:
    page, _, _ = await history.rules.listings.page(
        workspace, filter_text="", order_text="", page_size=2, page_token=token, show_deleted=False, full=False
    )
    return list(page)


async def test_a_listing_of_a_workspace_that_does_not_exist_says_so(history: Any, digits: str) -> None:
    with pytest.raises(WorkspaceNotFound):
        await listed(history, workspace="nowhere")
    assert await listed(history) == ""


async def test_a_wrong_filter_or_order_is_refused_before_anything_is_read(history: Any, digits: str) -> None:
    with pytest.raises(InvalidFilter, match="there is no field 'colour'"):
        await listed(history, "colour = red")
    with pytest.raises(InvalidOrder, match="'hidden' is not a field that rows can be ordered by"):
        await listed(history, "", "hidden")


async def test_runs_of_other_workspaces_are_out_of_reach(tree: Any) -> None:
    other = await tree.make_experiment("digits", "other")
    await tree.rules.creations.create_batch("other", [tree.new_run("x", experiment=other)], None)

    assert await listed(tree, "run_id = x") == ""
    assert await listed(tree, "ancestor = a", workspace="other") == ""
    assert await listed(tree, workspace="other") == "x"


async def test_a_page_ends_before_it_takes_more_than_a_message_may(history: Any, digits: str) -> None:
    text = {f"k{number}": "\N{SNOWMAN}" * 3_000 for number in range(100)}
    await history.make_runs(*(history.new_run(f"r{number}", experiment=digits) for number in range(8)))
    for number in range(8):
        await history.rules.runs.modify_tags("team", f"r{number}", text, [])
    page, _, token = await history.rules.listings.page(
        "team", filter_text="", order_text="run_id", page_size=1_000, page_token="", show_deleted=False, full=False
    )

    assert len(page) == limits.PAGE_BYTES // 900_000 + 1
    assert token
    assert await listed(history, "", "run_id", page_size=1_000) == " ".join(f"r{number}" for number in range(8))


async def test_summaries_come_with_a_full_listing_and_bound_its_pages(history: Any, digits: str) -> None:
    names = [f"r{number:03}" for number in range(24)]
    await history.make_runs(*(history.new_run(name, experiment=digits) for name in names))
    metrics = [MetricSummary(f"{'m' * 240}{number:04}", 1.0, 1.0, 1.0, 1, 1) for number in range(1_001)]
    await history.rules.runs.record_summaries("team", dict.fromkeys(names, metrics))
    page, summaries, token = await history.rules.listings.page(
        "team", filter_text="", order_text="run_id", page_size=24, page_token="", show_deleted=False, full=True
    )

    assert 0 < len(page) < 24
    assert token
    assert {len(found) for found in summaries.values()} == {limits.SUMMARIES_SHOWN}
    assert list(summaries) == [run.run for run in page]
    assert await listed(history, "", "run_id", page_size=24, full=True) == " ".join(names)


async def test_summaries_arrive_in_any_order_and_the_newest_stays(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits))
    record = history.rules.runs.record_summaries
    new, old = MetricSummary("loss", 3.0, 1.0, 5.0, 9, 7), MetricSummary("loss", 2.0, 2.0, 2.0, 1, 6)
    same = MetricSummary("loss", 0.0, 0.0, 0.0, 0, 7)
    many = [{"r": [summary], "unknown": [summary]} for summary in (old, new) * 8]
    await asyncio.gather(*(record("team", each) for each in many))
    await record("team", {"r": [same]})

    assert await history.rules.runs.summaries("team", ["r"]) == {"r": [new]}
    assert await history.postgres.fetchval("SELECT count(*) FROM runs.metric_summary") == 1


async def test_what_is_listed_is_what_is_stored(history: Any, digits: str) -> None:
    await history.make_runs(history.new_run("r", experiment=digits, start=True))
    error = RunError("E", "m", "T", "s", history.clock())
    run = await history.rules.runs.update("team", "r", RunEdits(description="d", error=error), RunStatus.FAILED, "")
    [found] = await listed_once(history, "team", "")

    assert found == run == (await history.rules.runs.get("team", "r"))[0]
