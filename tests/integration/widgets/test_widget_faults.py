"""What the widget does when something fails that nobody expected, and the services are not to blame."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from runstream import aio
from runstream.exceptions import ServiceException
from runstream.widgets._run_data import RunData
from tests.append_clients import log_stream
from tests.conftest import Backend
from tests.widget_page import Page


class FaultyRun:
    """A run of which something cannot be had until the test mends it."""

    def __init__(self, run: aio.Run, attribute: str, error: Exception) -> None:
        self._sound = run
        self._attribute = attribute
        self._error = error
        self.is_mended = False

    def __getattr__(self, name: str) -> Any:
        if name == self._attribute and not self.is_mended:
            raise self._error
        return getattr(self._sound, name)


def shows(state: str, message: str) -> Callable[[dict[str, Any]], bool]:
    return lambda shown: (shown["link"].get("state"), shown["link"].get("message")) == (state, message)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no such thing"), "Stopped by ValueError: no such thing"),
        (ServiceException("The services failed.", status_code=500), "The services failed."),
    ],
)
async def test_a_part_that_fails_says_so_and_goes_on_when_it_can(
    backend: Backend, run: str, sdk_run: aio.Run, error: Exception, told: str
) -> None:
    async with log_stream(backend.channel, run, path="user_logs/std_log.txt") as stream:
        await stream.send(0, b"text\n")
        await stream.acknowledged(5)
    faulty, page = FaultyRun(sdk_run, "_list_logs", error), Page()
    task = asyncio.create_task(RunData(faulty, 0.0).follow(page.show))

    await page.until(shows("live", told))
    faulty.is_mended = True
    await page.until(lambda shown: shows("live", "")(shown) and shown["log_tail"].get("lines") == ["text"])
    await sdk_run.complete()
    await page.until(shows("ended", ""))
    await task


async def test_changes_that_cannot_be_shown_end_the_updates_with_an_error(sdk_run: aio.Run) -> None:
    def show(changes: dict[str, Any]) -> None:
        raise OSError("the page is gone")

    with pytest.raises(OSError, match="the page is gone"):
        await RunData(sdk_run, 0.0).follow(show)
