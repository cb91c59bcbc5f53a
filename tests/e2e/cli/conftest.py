"""The command line as processes, against all services."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import stubs
from tests.command_line import MakeRun, ProcessCli, make_default_workspace, run_maker
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
def cli(backend: Backend, history: "RunHistoryServiceAsyncStub", tmp_path: Path) -> ProcessCli:
    """The command line of a user of this test's services."""
    return ProcessCli(tmp_path, backend.address)
