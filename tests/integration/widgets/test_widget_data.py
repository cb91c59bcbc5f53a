"""What the widget shows of a run of the services."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from runstream import aio
from runstream.api.runs.v1 import run_history_service_pb2 as runs_api
from runstream.widgets._run_data import RunData
from runstream_server.config import Config
from tests import stubs
from tests.append_clients import doubles, log_stream, metrics_stream
from tests.conftest import Backend, serve
from tests.make_runs import WORKSPACE, make_run
from tests.widget_page import Page


async def log(backend: Backend, run: str, writer: str, *series: Any) -> None:
    async with metrics_stream(backend.channel, run, writer=writer) as stream:
        await stream.send(1, *series)
        await stream.acknowledged(1)


async def write(backend: Backend, run: str, data: bytes, path: str = "user_logs/std_log.txt") -> None:
    async with log_stream(backend.channel, run, path=path, writer=path.replace("/", "-").replace(".", "-")) as stream:
        await stream.send(0, data)
        await stream.acknowledged(len(data))
        await stream.finish()


async def test_a_run_is_shown_from_its_first_value_to_its_end(
    backend: Backend, run: str, sdk_run: aio.Run, page: Page
) -> None:
    await page.until(lambda shown: shown["record"].get("status") == "Running" and shown["link"].get("state") == "live")

    await log(backend, run, "a", doubles("loss", [3.0, 2.0]))
    await page.until(lambda _: page.curve("loss").get("count") == 2)
    await log(backend, run, "b", doubles("loss", [1.0]), doubles("accuracy", [0.5]))
    await page.until(lambda _: page.curve("loss").get("count") == 3 and page.curve("accuracy"))
    await sdk_run.tag("quality", "<b>good</b>")
    await page.until(lambda shown: shown["record"]["tags"] == {"quality": "<b>good</b>"})
    await sdk_run.complete()

    shown = await page.until(lambda shown: shown["link"].get("state") == "ended")
    assert page.columns("loss") == ([0.0, 1.0, 2.0], [3.0, 2.0, 1.0])
    assert (page.curve("loss")["least"], page.curve("loss")["last"]) == (1.0, 1.0)
    assert [name for name, *_ in shown["record"]["history"]] == ["NotStarted", "Running", "Completed"]
    assert shown["record"]["ended"] >= shown["record"]["started"] > 0


async def test_what_was_stored_before_goes_on_without_a_gap(backend: Backend, run: str, data: RunData) -> None:
    await log(backend, run, "a", doubles("loss", [float(step) for step in range(5000)]))
    page = Page()
    task = asyncio.create_task(data.follow(page.show))
    await page.until(lambda _: page.curve("loss").get("count") == 5000)

    await log(backend, run, "b", doubles("loss", [9e9, float("nan"), -7.0]))

    await page.until(lambda _: page.curve("loss").get("count") == 5003)
    task.cancel()
    steps, values = page.columns("loss")
    assert len(steps) <= 1000
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0.0, 5002.0)
    assert values[-2:] == [9e9, -7.0]
    assert (page.curve("loss")["least"], page.curve("loss")["greatest"]) == (-7.0, 9e9)


async def test_fifty_metrics_are_shown_and_it_says_that_there_are_more(backend: Backend, run: str, page: Page) -> None:
    await log(backend, run, "a", *(doubles(f"metric {number:02}", [1.0]) for number in range(60)))
    shown = await page.until(lambda shown: shown["charts"].get("more"))
    assert len(shown["charts"]["curves"]) == 50
    name = shown["charts"]["curves"][-1]["name"]

    await log(backend, run, "b", doubles(name, [2.0]))

    await page.until(lambda _: page.curve(name)["count"] == 2)


async def test_the_log_of_the_job_is_shown_and_another_one_can_be_chosen(
    backend: Backend, run: str, sdk_run: aio.Run, data: RunData, page: Page
) -> None:
    await write(backend, run, b"alone\n", path="logs/extra.txt")
    await page.until(lambda shown: shown["log_tail"].get("lines") == ["alone"])
    await write(backend, run, b"0%\r50%\r100%\n\x1b[31mred\x1b[0m\nnext")

    shown = await page.until(lambda shown: shown["log_tail"].get("lines") == ["100%", "red", "next"])
    assert shown["log_tail"]["paths"] == ["logs/extra.txt", "user_logs/std_log.txt"]
    await data.choose_log("logs/extra.txt", page.show)
    await page.until(lambda shown: shown["log_tail"].get("lines") == ["alone"])

    await sdk_run.complete()
    await page.until(lambda shown: shown["link"].get("state") == "ended")
    await data.choose_log("user_logs/std_log.txt", page.show)
    await page.until(lambda shown: shown["log_tail"].get("lines") == ["100%", "red", "next"])


async def test_of_a_large_log_its_end_is_shown(backend: Backend, run: str, page: Page) -> None:
    await write(backend, run, b"".join(b"line %06d\n" % number for number in range(60_000)))

    shown = await page.until(lambda shown: (shown["log_tail"].get("lines") or [""])[-1] == "line 059999")
    assert shown["log_tail"]["lines"][0] == "line 059500"


async def test_a_large_log_without_line_feeds_shows_what_stands_last(backend: Backend, run: str, page: Page) -> None:
    await write(backend, run, b"".join(b"\rstep %06d" % number for number in range(60_000)))

    await page.until(lambda shown: shown["log_tail"].get("lines") == ["step 059999"])


async def test_children_appear_with_their_metrics(backend: Backend, run: str, sdk_run: aio.Run, page: Page) -> None:
    await page.until(lambda shown: shown["child_runs"])
    child = await sdk_run.child_run("rate 0.1")
    await page.until(lambda shown: [each["status"] for each in shown["child_runs"]["runs"]] == ["Running"])
    await log(backend, f"{WORKSPACE}/runs/{child.id}", "c", doubles("accuracy", [0.5, 0.75]))
    await child.complete()

    def is_complete(shown: dict[str, Any]) -> bool:
        (only,) = shown["child_runs"]["runs"]
        return bool(only["status"] == "Completed" and only["metrics"] == {"accuracy": 0.75})

    await page.until(is_complete)


async def test_a_failed_run_shows_its_error(sdk_run: aio.Run, page: Page) -> None:
    try:
        raise ValueError("no data")
    except ValueError as error:
        await sdk_run.fail(error_details=error)

    shown = await page.until(lambda shown: shown["link"].get("state") == "ended")
    shown_error = shown["record"]["error"]
    assert (shown_error["type"], shown_error["message"]) == (
        "ValueError",
        "User program failed with ValueError: no data",
    )
    assert 'raise ValueError("no data")' in shown_error["trace"]


async def test_a_run_that_is_deleted_ends_with_a_reason(backend: Backend, run: str, page: Page) -> None:
    await page.until(lambda shown: shown["link"].get("state") == "live")
    request = runs_api.DeleteRunsRequest(parent=WORKSPACE, names=[run])
    await stubs.run_history(backend.channel).DeleteRuns(request)

    shown = await page.until(lambda shown: shown["link"].get("state") == "failed")
    assert "was deleted" in shown["link"]["message"]


async def test_services_that_go_away_and_come_back_are_told_and_nothing_is_missed(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(config) as before:
        run = await make_run(before.channel)
        monkeypatch.setenv("RUNSTREAM_ADDRESS", before.address)
        sdk_run = await aio.Run.get(await aio.Workspace.get("space"), "run")
        page = Page()
        task = asyncio.create_task(RunData(sdk_run, 0.0).follow(page.show))
        await log(before, run, "a", doubles("loss", [1.0]))
        await page.until(lambda shown: shown["link"].get("state") == "live" and page.curve("loss"))
    await page.until(lambda shown: shown["link"].get("state") == "away")

    port = int(before.address.rpartition(":")[2])
    async with serve(replace(config, server=replace(config.server, port=port))) as after:
        await log(after, run, "b", doubles("loss", [2.0]))
        await page.until(lambda shown: shown["link"].get("state") == "live" and page.curve("loss")["count"] == 2)
        await sdk_run.complete()
        await page.until(lambda shown: shown["link"].get("state") == "ended")
        await task


async def test_everything_can_be_read_at_once(backend: Backend, run: str, data: RunData, sdk_run: aio.Run) -> None:
    await log(backend, run, "a", doubles("loss", [2.0, 1.0]))
    await write(backend, run, b"one\ntwo\n")
    await sdk_run.child_run("child")

    sections = await data.load()

    assert [curve["count"] for curve in sections["charts"]["curves"]] == [2]
    assert sections["log_tail"]["lines"] == ["one", "two"]
    assert len(sections["child_runs"]["runs"]) == 1
    assert sections["link"]["state"] == "live"
