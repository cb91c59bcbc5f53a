"""The SDK as a script uses it, against all services in a process of their own."""

import contextlib
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest

from runstream._channel import loop
from runstream._spool.run_spool import _registry
from runstream.core import Experiment, Run, Workspace
from runstream.exceptions import AzureMLException
from tests.conftest import forget_settings, make_database

SERVER = str(Path(sys.executable).with_name("runstream-server"))
SECONDS = 60


class S3(Protocol):
    """The fixture `s3_server`."""

    endpoint: str
    access_key: str
    secret_key: str


@pytest.fixture(scope="package")
def services(postgres_server: str, migrated_template: str, s3_server: S3) -> Iterator[str]:
    """The address of all services, on a database and a bucket of these tests."""
    port = _free_port()
    environment = {
        **os.environ,
        "RUNSTREAM_POSTGRES_DSN": make_database(postgres_server, migrated_template),
        "RUNSTREAM_S3_ENDPOINT": s3_server.endpoint,
        "RUNSTREAM_S3_ACCESS_KEY": s3_server.access_key,
        "RUNSTREAM_S3_SECRET_KEY": s3_server.secret_key,
        "RUNSTREAM_S3_BUCKET": f"sdk-{uuid.uuid4().hex}",
        "RUNSTREAM_PORT": str(port),
        "RUNSTREAM_GATEWAY_PORT": "0",
        "RUNSTREAM_DRAIN_SECONDS": "1",
        "RUNSTREAM_ACCESS_LOG": "none",
    }
    with subprocess.Popen([SERVER, "serve"], env=environment, stderr=subprocess.DEVNULL) as server:
        address = f"127.0.0.1:{port}"
        _await_ready(address)
        yield address
        server.terminate()


@pytest.fixture(scope="package")
def spools(services: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where these tests log, so that few uplinks are started; all of it is carried up before the services go."""
    yield tmp_path_factory.mktemp("spools")
    for spool in _registry.values():
        spool.finish()
        with contextlib.suppress(AzureMLException):  # a test has a metric that is refused
            spool.flush(SECONDS)


@pytest.fixture(autouse=True)
def surroundings(services: str, spools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A script in a folder of its own that finds the services; their address."""
    known = {
        "RUNSTREAM_ADDRESS": services,
        "RUNSTREAM_STATE_DIR": str(tmp_path / "state"),
        "RUNSTREAM_SPOOL_DIR": str(spools),
    }
    forget_settings(monkeypatch, known)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return services


@pytest.fixture
def ws(surroundings: str) -> Workspace:
    """A workspace of this test's own."""
    return Workspace.create(f"ws-{uuid.uuid4().hex[:24]}")


@pytest.fixture
def exp(ws: Workspace) -> Experiment:
    """An experiment without runs."""
    return Experiment(ws, "digits")


@pytest.fixture
def run(exp: Experiment) -> Run:
    """An interactive run."""
    return exp.start_logging(snapshot_directory=None)


Call = Callable[[Any, str, Any], Any]


@pytest.fixture
def call() -> Call:
    """Calls a method of the run history, for what the SDK has no method for."""

    def run_history(workspace: Any, method: str, request: Any) -> Any:
        async def send() -> Any:
            connection = workspace._connection()
            return await connection.call(getattr(connection.runs, method), request)

        return loop.run(send())

    return run_history


def _await_ready(address: str) -> None:
    with grpc.insecure_channel(address, [("grpc.max_reconnect_backoff_ms", 200)]) as channel:
        grpc.channel_ready_future(channel).result(SECONDS)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
