"""Tags, properties and warnings of runs: many at once, and how many there may be."""

import asyncio
from typing import Any

import pytest

from runstream_server.runs.errors import (
    TooManyProperties,
    TooManyTags,
)
from runstream_server.runs.limits import PROPERTIES, TAGS
from runstream_server.runs.model import RunWarning


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
