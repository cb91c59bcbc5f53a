"""The story of a run, told by an asynchronous program."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runstream import aio
from runstream.aio import Experiment, Run, Workspace
from runstream.exceptions import ActivityFailedException, ServiceException, UserErrorException


@pytest.fixture
async def space(surroundings: str) -> AsyncIterator[Workspace]:
    """A workspace of this test's own."""
    yield await Workspace.create(f"ws-{uuid.uuid4().hex[:24]}")
    await aio.close()


@pytest.fixture
async def digits(space: Workspace) -> Experiment:
    """An experiment without runs."""
    return await Experiment.get_or_create(space, "digits")


async def test_a_run_is_logged_labelled_and_completed(space: Workspace, digits: Experiment) -> None:
    async with await digits.start_logging(snapshot_directory=None) as run:
        run.log("loss", 0.5)
        run.log_list("accuracy", [1, 2])
        await asyncio.to_thread(Path("outputs/model.txt").write_text, "model")
        await run.tag("quality", "good")
        await run.add_properties({"author": "ada"})
        await run.set_display_name("baseline")
        assert await run.get_status() == "Running"

    again = await Run.get(space, run.id)
    assert (again.status, again.display_name, again.tags) == ("Completed", "baseline", {"quality": "good"})
    assert await again.get_metrics() == {"loss": 0.5, "accuracy": [1, 2]}
    assert await again.get_file_names() == ["logs/user_log.txt", "outputs/model.txt"]
    assert (await again.wait_for_completion())["status"] == "Completed"


async def test_metrics_of_all_kinds_are_logged_read_and_followed(digits: Experiment) -> None:
    run = await digits.start_logging(snapshot_directory=None)
    run.log_metrics({"loss": 0.5, "accuracy": 1}, step=3)
    run.log_row("row", x=1)
    run.log_table("table", {"x": [1, 2]})
    run.log_residuals(
        "residuals",
        {"schema_type": "residuals", "schema_version": "1.0.0", "data": {"bin_counts": [1], "bin_edges": [0, 1]}},
    )
    await run.complete()

    found = await run.get_metrics(populate=True)
    assert found.pop("residuals").convert_to_object()["data"] == {"bin_counts": [1], "bin_edges": [0, 1]}
    assert found == {"loss": 0.5, "accuracy": 1, "row": {"x": 1}, "table": {"x": [1, 2]}}
    assert list((await run.get_series("loss")).steps) == [3]
    async with run.tail_series() as tail:
        assert {piece.name async for piece in tail} == {"loss", "accuracy", "row", "table", "residuals"}


async def test_an_exception_fails_the_run_and_goes_on(digits: Experiment) -> None:
    run = await digits.start_logging(snapshot_directory=None)
    with pytest.raises(ValueError, match="boom"):
        async with run:
            raise ValueError("boom")

    with pytest.raises(ActivityFailedException, match="boom"):
        await run.wait_for_completion()


async def test_runs_are_listed_and_waited_for_side_by_side(space: Workspace, digits: Experiment) -> None:
    run = await digits.start_logging(snapshot_directory=None)
    children = await run.create_children(count=5)
    waits = [asyncio.create_task(child.wait_for_completion()) for child in children]
    await asyncio.gather(*(child.complete() for child in children))

    assert [details["status"] for details in await asyncio.gather(*waits)] == ["Completed"] * 5
    assert [each.id async for each in digits.get_runs()] == [run.id]
    assert {each.id async for each in run.get_children(status="Completed")} == {child.id for child in children}
    parent = await children[0].get_parent()
    assert parent is not None
    assert parent.id == run.id
    await run.cancel()
    assert list(await space.get_experiments()) == ["digits"]
    assert "local" in await space.get_compute_targets()


async def test_errors_are_those_of_the_blocking_form(space: Workspace) -> None:
    with pytest.raises(ServiceException) as caught:
        await Run.get(space, "nowhere")
    assert caught.value.status_code == 404
    with pytest.raises(UserErrorException):
        await Experiment.get_or_create(space, "not a name")


async def test_a_job_is_its_run(space: Workspace, digits: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await digits.start_logging(snapshot_directory=None)
    monkeypatch.setenv("RUNSTREAM_RUN_ID", run.id)
    monkeypatch.setenv("RUNSTREAM_WORKSPACE", space.name)
    monkeypatch.setenv("RUNSTREAM_EXPERIMENT", digits.name)

    context = Run.get_context()
    await context.complete()
    await context.refresh()

    assert (context.id, context.status) == (run.id, "Running")
