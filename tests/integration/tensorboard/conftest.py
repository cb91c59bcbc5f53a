"""A run of an asynchronous program."""

from collections.abc import AsyncIterator

import pytest

from runstream import aio
from runstream._channel.connection import close_connections
from tests.conftest import Backend


@pytest.fixture
async def sdk_run(backend: Backend, run: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[aio.Run]:
    """The run `run` as a program has it."""
    monkeypatch.setenv("RUNSTREAM_ADDRESS", backend.address)
    yield await aio.Run.get(await aio.Workspace.get("space"), "run")
    await close_connections()
