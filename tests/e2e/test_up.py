"""`runstream up` as a person or a supervisor runs it: a real process tree, real signals."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runstream._channel.address import find_address
from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub
from runstream_server.embedded.s3 import EmbeddedS3
from runstream_server.embedded.state import read_state
from tests.conditions import wait_until
from tests.conftest import short_folder
from tests.mortal import mortal

SECONDS = 60
COMMAND = (str(Path(sys.executable).with_name("runstream-server")), "up")
DEFAULT = "workspaces/default"
SERVERS = ("pginstall", "s3_server")
"""Words of the command lines of the servers."""


@dataclass
class Running:
    """A backend in a process of its own."""

    folder: Path
    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)
    """A line came."""

    @property
    def state(self) -> Any:
        """What it tells its clients."""
        return read_state(self.folder / "state" / "up.json")

    @property
    def address(self) -> str:
        """Where it serves."""
        return str(self.state["address"])

    @property
    def shown(self) -> str:
        """What it showed so far."""
        return "".join(self.lines)

    def take(self, lines: Iterable[str]) -> None:
        """Takes in all that it shows."""
        for line in lines:
            with self.came:
                self.lines.append(line)
                self.came.notify_all()

    def wait_shown(self, text: str) -> None:
        """Waits until it has shown a text."""
        with self.came:
            assert self.came.wait_for(lambda: text in self.shown, SECONDS), self.shown

    def children(self) -> list[psutil.Process]:
        """The processes that it started, and those that they did."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process | None:
        """Its direct child with this word in its command line."""
        for each in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if word in " ".join(each.cmdline()):
                    return each
        return None

    def end(self, number: int) -> int:
        """Sends a signal and waits for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short path."""
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def used_folder() -> Iterator[Path]:
    """A folder on which a backend ran, to copy."""
    with short_folder() as path:
        with running(path) as backend:
            assert backend.end(signal.SIGINT) == 0
        yield path


@pytest.fixture
def copied(used_folder: Path, folder: Path) -> Path:
    """A folder of this test's own on which a backend ran before."""
    subprocess.run(["cp", "-a", f"{used_folder}/.", folder], check=True)
    return folder


@contextmanager
def started(folder: Path, *arguments: str, **variables: str) -> Iterator[Running]:
    """Starts a backend; at the end stops it."""
    environment = {**os.environ, "RUNSTREAM_STATE_DIR": str(folder / "state"), **variables}
    process = subprocess.Popen(
        mortal(*COMMAND, "--data", str(folder / "data"), *arguments),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    backend = Running(folder, process)
    reader = threading.Thread(target=backend.take, args=(process.stdout,))
    reader.start()
    try:
        yield backend
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)
        reader.join(SECONDS)
        process.stdout.close()


@contextmanager
def running(folder: Path, *arguments: str, **variables: str) -> Iterator[Running]:
    """A backend that is ready."""
    with started(folder, *arguments, **variables) as backend:
        wait_until(lambda: bool(backend.state) or backend.process.poll() is not None)
        assert backend.process.poll() is None, backend.shown
        yield backend


def gone(processes: list[psutil.Process]) -> None:
    """Waits until none of the processes is left."""
    assert psutil.wait_procs(processes, SECONDS)[1] == []


@contextmanager
def run_history(address: str) -> Iterator[RunHistoryServiceStub]:
    """A stub that waits for the service."""
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(SECONDS)
        yield RunHistoryServiceStub(channel)


def workspace(address: str, name: str) -> str:
    """Asks for a workspace; returns its name."""
    with run_history(address) as stub:
        return str(stub.GetWorkspace(messages.GetWorkspaceRequest(name=name), timeout=15).workspace.name)


def answers(address: str) -> bool:
    """Whether the services reach their database."""
    try:
        workspace(address, DEFAULT)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True


def make_workspace(address: str, name: str) -> None:
    """Makes a workspace."""
    with run_history(address) as stub:
        stub.CreateWorkspace(messages.CreateWorkspaceRequest(workspace_id=name), timeout=15)


def test_a_new_backend_says_where_it_is_and_has_a_workspace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSTREAM_STATE_DIR", str(folder / "state"))
    monkeypatch.delenv("RUNSTREAM_ADDRESS", raising=False)
    with running(folder) as backend:
        backend.wait_shown("Ctrl-C")

        assert f"Address  {backend.address}\n" in backend.shown
        assert f"Data     {folder / 'data'}\n" in backend.shown
        assert backend.state == {
            "address": backend.address,
            "pid": backend.process.pid,
            "data": str(folder / "data"),
            "log": str(folder / "data" / "logs"),
        }
        assert find_address() == backend.address
        assert workspace(backend.address, DEFAULT) == DEFAULT


def outcome_of(address: str, token: str) -> str:
    """How a call with a token, or with none, ends."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with run_history(address) as stub:
        try:
            stub.GetWorkspace(messages.GetWorkspaceRequest(name=DEFAULT), timeout=15, metadata=metadata)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def test_only_scripts_of_its_user_have_a_token_when_it_wants_some(copied: Path) -> None:
    with running(copied, "--auth") as first:
        first.wait_shown("Ctrl-C")
        former, files = first.state["token"], [copied / "state" / "up.json", copied / "data" / "up.json"]
        modes = [stat.S_IMODE(file.stat().st_mode) for file in files]
        log = (copied / "data" / "logs" / "runstream.log").read_text()
        codes = [outcome_of(first.address, token) for token in ("", former)]
        first.end(signal.SIGKILL)
    with running(copied, RUNSTREAM_AUTH="required") as second:
        second.wait_shown("Ctrl-C")
        codes += [outcome_of(second.address, token) for token in (former, second.state["token"])]
        made = subprocess.run(
            [
                COMMAND[0],
                "token",
                "create",
                "--data",
                str(copied / "data"),
                "--workspace",
                "default",
                "--role",
                "reader",
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        codes.append(outcome_of(second.address, made.stdout.strip()))

    assert modes == [0o600, 0o600]
    assert codes == ["UNAUTHENTICATED", "OK", "UNAUTHENTICATED", "OK", "OK"]
    assert former not in first.shown + log
    assert "token" not in read_state(copied / "state" / "up.json")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_leaves_nothing(copied: Path, number: signal.Signals) -> None:
    with running(copied) as backend:
        children = backend.children()

        assert backend.end(number) == 0

        assert not any(child.is_running() for child in children)
        assert list((copied / "state").iterdir()) == []
    assert backend.lines[-2:] == ["Stopping ...\n", "Stopped.\n"]


def test_a_backend_told_to_be_quiet_shows_nothing(copied: Path) -> None:
    with running(copied, "--quiet") as backend:
        assert backend.end(signal.SIGINT) == 0

    assert backend.shown == ""


def test_a_second_backend_needs_another_folder_and_is_told_where_the_first_is(copied: Path) -> None:
    with running(copied) as first:
        with started(copied) as second:
            assert second.process.wait(SECONDS) == 3
        assert f"at {first.address} by process {first.process.pid}" in second.shown

        with running(copied / "other") as third:
            assert third.address != first.address
            assert workspace(third.address, DEFAULT) == workspace(first.address, DEFAULT) == DEFAULT


def test_a_killed_backend_leaves_no_process(copied: Path) -> None:
    with running(copied) as backend:
        children = backend.children()

        assert backend.end(signal.SIGKILL) == -signal.SIGKILL

        gone(children)


def test_a_killed_backend_is_followed_at_once_by_another_on_the_same_address_and_data(copied: Path) -> None:
    with running(copied) as backend:
        make_workspace(backend.address, "kept")
        address = backend.address
        (copied / "state" / "up.json").unlink()
        backend.end(signal.SIGKILL)

        with running(copied) as another:
            assert another.address == address
            assert workspace(another.address, "workspaces/kept") == "workspaces/kept"


def test_killed_servers_are_started_again_and_the_services_answer(copied: Path) -> None:
    with running(copied) as backend:
        killed = [backend.child(program) for program in SERVERS]
        for child in killed:
            assert child
            child.kill()

        wait_until(lambda: not {backend.child(program) for program in SERVERS} & {None, *killed})

        wait_until(lambda: answers(backend.address))
        assert backend.end(signal.SIGINT) == 0


@pytest.mark.parametrize("is_named", [True, False])
def test_what_a_backend_stores_is_scrubbed_while_it_runs(copied: Path, is_named: bool) -> None:
    arguments = ("--data", str(copied / "data")) if is_named else ()
    with running(copied) as backend:
        scrubbed = upkeep(copied, "scrub", *arguments)
        collected = upkeep(copied, "collect-garbage", "--dry-run", *arguments)
        assert backend.end(signal.SIGINT) == 0
    afterwards = upkeep(copied, "scrub", *arguments)

    assert (scrubbed.returncode, json.loads(scrubbed.stdout)["damaged"]) == (0, []), scrubbed.stderr
    assert (collected.returncode, json.loads(collected.stdout)["dry_run"]) == (0, True), collected.stderr
    assert afterwards.returncode == 2
    missing = f"no `runstream up` runs on {copied / 'data'}" if is_named else "RUNSTREAM_S3_ENDPOINT"
    assert missing in afterwards.stderr


def upkeep(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command about what is stored, of a user without settings."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("RUNSTREAM_")}
    environment = others | {"RUNSTREAM_STATE_DIR": str(folder / "state")}
    return subprocess.run([COMMAND[0], *arguments], env=environment, capture_output=True, text=True, check=False)


def test_a_second_signal_stops_at_once(copied: Path) -> None:
    with running(copied, RUNSTREAM_DRAIN_SECONDS="600") as backend, grpc.insecure_channel(backend.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        children = backend.children()
        backend.process.send_signal(signal.SIGINT)
        backend.wait_shown("Stopping ...\n")

        assert backend.end(signal.SIGINT) == 130

        gone(children)


def test_a_signal_during_the_start_undoes_it(folder: Path) -> None:
    with started(folder) as backend:
        backend.wait_shown("Making a new backend")

        assert backend.end(signal.SIGINT) == 130

    with running(folder) as backend:
        assert workspace(backend.address, DEFAULT) == DEFAULT


def test_a_port_that_is_taken_is_named(copied: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with started(copied, "--port", str(port)) as backend:
            assert backend.process.wait(SECONDS) == 2

    assert f"port {port} of 127.0.0.1 is taken" in backend.shown


def test_given_servers_are_used_instead(folder: Path, postgres_dsn: str, s3_server: EmbeddedS3) -> None:
    keys = {"AWS_ACCESS_KEY_ID": s3_server.access_key, "AWS_SECRET_ACCESS_KEY": s3_server.secret_key}
    with running(folder, "--postgres", postgres_dsn, "--s3", s3_server.endpoint, "--port", "0", **keys) as backend:
        assert backend.children() == []
        assert workspace(backend.address, DEFAULT) == DEFAULT
        assert backend.end(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--postgres", "postgresql://nobody@127.0.0.1:1/none"), 1, "the database"),
        (("--s3", "http://127.0.0.1:1"), 2, "RUNSTREAM_S3_ACCESS_KEY"),
    ],
)
def test_a_given_server_that_cannot_be_used_is_named(
    copied: Path, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    with started(copied, *arguments) as backend:
        assert backend.process.wait(SECONDS) == code

    assert f"Error: {problem}" in backend.shown
    assert "Traceback" not in backend.shown
