"""The program TensorBoard, as a process of its own."""

import http.client
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Self

from runstream.exceptions import AzureMLException, UserErrorException

HOST: Final = "127.0.0.1"
PORTS: Final = 100
"""How many ports are tried, from the one on that was asked for."""
MAX_PORT: Final = 65_535
START_SECONDS: Final = 180.0
"""TensorFlow, which it loads where that is installed, may take long on a cold disk."""
LOOK_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 10.0
END_SECONDS: Final = 5.0
READ_BYTES: Final = 1_000_000
SHOWN_CHARACTERS: Final = 2_000
"""Of what it said, at most."""
PORT_TAKEN: Final = "already in use"
SERVING: Final = f" at http://{HOST}:{{port}}/"

OPTIONS: Final = (
    *("--host", HOST),
    *("--reload_interval", "2"),
    *("--reload_multifile", "true"),  # a run may write several files at once,
    *("--reload_multifile_inactive_secs", "-1"),  # and old ones come here piece by piece
)

INSTALL: Final = 'TensorBoard is not installed here: pip install tensorboard, or pip install "runstream[tensorboard]"'


class Program:
    """A TensorBoard that answers."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: IO[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self._output = output

    @classmethod
    def start(cls, folder: Path, port: int) -> Self:
        """Starts it on this machine's own address and waits until it answers; on the next free port if one is taken.

        Raises:
            UserErrorException: It is not installed, or no port is free.
            AzureMLException: It does not work; the message has what it says.
        """
        if importlib.util.find_spec("tensorboard") is None:
            raise UserErrorException(INSTALL)
        for free in _free_ports(port):
            program = cls._launch(folder, free)
            try:
                if program._answers():
                    return program
            except BaseException:
                program.end()
                raise
            said = program.end()
            if PORT_TAKEN not in said:
                raise AzureMLException(f"TensorBoard did not start. {_advice(said)}{said}")
        raise UserErrorException(f"No port from {port} on is free for TensorBoard; choose another one.")

    @property
    def url(self) -> str:
        """Where it is shown."""
        return f"http://{HOST}:{self.port}/"

    @property
    def is_alive(self) -> bool:
        """Whether it goes on."""
        return self.process.poll() is None

    def end(self) -> str:
        """Ends it; the last of what it said."""
        self.process.terminate()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self._output.closed:
            return ""
        with self._output:
            return self._said()[-SHOWN_CHARACTERS:]

    @classmethod
    def _launch(cls, folder: Path, port: int) -> Self:
        guarded = Path(__file__).with_name("_guarded.py")
        output = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        process = subprocess.Popen(
            [sys.executable, "-P", str(guarded), "--logdir", str(folder), "--port", str(port), *OPTIONS],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the process that shows it
        )
        return cls(process, output, port)

    def _answers(self) -> bool:
        """Whether it answers, which is waited for as long as it lives. Another program at its port does not count."""
        deadline = time.monotonic() + START_SECONDS
        while self.is_alive:
            if SERVING.format(port=self.port) in self._said() and self._is_asked():
                return True
            if time.monotonic() > deadline:
                return False
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(LOOK_SECONDS)
        return False

    def _said(self) -> str:
        """The last of what it said."""
        file = self._output.fileno()
        start = max(0, os.fstat(file).st_size - READ_BYTES)
        return os.pread(file, READ_BYTES, start).decode(errors="replace").strip()

    def _is_asked(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/data/environment")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _advice(said: str) -> str:
    """What to do about a failure that is known."""
    if "No module named 'pkg_resources'" in said:
        return (
            "It is older than the setuptools that is installed: "
            'pip install --upgrade tensorboard, or pip install "setuptools<81"\n'
        )
    return ""


def _free_ports(first: int) -> Iterator[int]:
    """Ports that nobody listens on now; for 0 one that the system chooses."""
    for port in range(first, min(first + PORTS, MAX_PORT + 1)) if first else [0] * PORTS:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            found = int(listener.getsockname()[1])
        yield found
