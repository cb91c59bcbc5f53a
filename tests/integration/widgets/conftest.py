"""A run of an asynchronous program, and a page that shows it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from runstream import aio
from runstream._channel.connection import close_connections
from runstream.widgets._run_data import RunData
from tests.conftest import Backend
from tests.widget_page import Page


@pytest.fixture(autouse=True)
async def _no_connection_is_left() -> AsyncIterator[None]:
    yield
    await close_connections()


@pytest.fixture
async def sdk_run(backend: Backend, run: str, monkeypatch: pytest.MonkeyPatch) -> aio.Run:
    """The run `run` as a program has it."""
    monkeypatch.setenv("RUNSTREAM_ADDRESS", backend.address)
    return await aio.Run.get(await aio.Workspace.get("space"), "run")


@pytest.fixture
def data(sdk_run: aio.Run) -> RunData:
    """What is gathered of the run, without a pause between updates."""
    return RunData(sdk_run, 0.0)


@pytest.fixture
async def page(data: RunData) -> AsyncIterator[Page]:
    """A page that shows the run, live."""
    page = Page()
    task = asyncio.create_task(data.follow(page.show))
    yield page
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
