"""Experiments and workspaces: made by many at once, again, archived, listed and deleted."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.workspace_pb2 import Tag
from runstream_server.runs.errors import (
    ExperimentExists,
    ExperimentNotEmpty,
    ExperimentNotFound,
    WorkspaceExists,
    WorkspaceNotEmpty,
    WorkspaceNotFound,
)
from runstream_server.runs.model import Edits

PLAIN: dict[str, Any] = {"description": "", "tags": {}, "request_id": None, "return_existing": False}


async def test_any_number_of_callers_get_the_same_experiment(history: Any, digits: str) -> None:
    made = await asyncio.gather(
        *(
            history.rules.experiments.create("team", display_name="new", **{**PLAIN, "return_existing": True})
            for _ in range(30)
        )
    )

    assert len({experiment.experiment for experiment in made}) == 1
    assert await history.count("experiment") == 2
    assert await history.count("run_counter") == 2


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

    assert await history.count("run_counter") == 1


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


async def test_a_tag_of_an_experiment_has_room_for_20_000_characters(runs: Any) -> None:
    longest, too_long = ([Tag(key="k", value="v" * length)] for length in (20_000, 20_001))
    request = messages.CreateExperimentRequest(parent="workspaces/team", experiment=Experiment(display_name="e"))
    request.experiment.tags.extend(longest)
    made = (await runs.CreateExperiment(request)).experiment
    changed = await runs.ModifyTags(messages.ModifyTagsRequest(name=made.name, set=longest))

    assert (made.tags, changed.tags) == (longest, longest)
    with pytest.raises(grpc.aio.AioRpcError, match="up to 20000 characters"):
        await runs.ModifyTags(messages.ModifyTagsRequest(name=made.name, set=too_long))
