"""The command line in this process, against all services."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runstream._channel import loop
from tests import stubs
from tests.command_line import InProcessCli, MakeRun, make_default_workspace, run_maker
from tests.conftest import Backend

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub


@pytest.fixture
async def history(backend: Backend) -> "RunHistoryServiceAsyncStub":
    """The run history of this test's services, with the workspace `default`."""
    history = stubs.run_history(backend.channel)
    await make_default_workspace(history)
    return history


@pytest.fixture
def make_run(history: "RunHistoryServiceAsyncStub") -> MakeRun:
    """Makes running runs."""
    return run_maker(history)


@pytest.fixture
def cli(backend: Backend, history: "RunHistoryServiceAsyncStub", tmp_path: Path) -> Iterator[InProcessCli]:
    """The command line of a user of this test's services."""
    yield InProcessCli(tmp_path, backend.address)
    loop.stop()
