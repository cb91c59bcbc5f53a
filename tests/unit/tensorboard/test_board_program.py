"""TensorBoard as a process."""

import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

from runstream.tensorboard import _program

SECONDS = 60


def test_tensorboard_ends_when_the_process_that_started_it_is_gone(tmp_path: Path) -> None:
    guarded = Path(_program.__file__).with_name("_guarded.py")
    command = [sys.executable, "-P", str(guarded), "--logdir", str(tmp_path), "--port", "0", *_program.OPTIONS]

    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as orphan:
        code = orphan.wait(SECONDS)

    assert code in (0, -signal.SIGTERM)


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = next(_program._free_ports(port))

    assert port < found <= port + _program.PORTS


def test_two_that_start_at_once_are_at_ports_of_their_own(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folders = [tmp_path / "a", tmp_path / "b"]
    with ThreadPoolExecutor() as pool:
        boards = list(pool.map(lambda folder: _program.Program.start(folder, port), folders))
    try:
        shown = [json.load(urlopen(f"{board.url}data/environment"))["data_location"] for board in boards]
    finally:
        for board in boards:
            board.end()

    assert shown == [str(folder) for folder in folders]
