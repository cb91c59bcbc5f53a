"""An S3 server on a folder, run as a child process on a loopback port of its own."""

import asyncio
import importlib.util
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from runstream_server.embedded.child import Child, Program, keep_running
from runstream_server.embedded.errors import EmbeddedMissing
from runstream_server.embedded.lock import lock_folder

HOST = "127.0.0.1"
BACKLOG = 512
CREDENTIALS = "credentials.json"
PROBE_SECONDS = 1.0
STOP_SIGNALS = ((signal.SIGTERM, 10.0),)


@dataclass(frozen=True)
class EmbeddedS3:
    """A running server with one bucket."""

    endpoint: str
    """Its URL. Stays the same over restarts, and as long as the port is free, on each use of the folder."""

    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    child: Child = field(repr=False)
    folder: Path
    """Where each object of the bucket is a file with the name of its key."""

    @property
    def pid(self) -> int | None:
        """Process id of the server; None while it is down."""
        return self.child.pid


@asynccontextmanager
async def run_s3(folder: Path, *, log: Path | None = None, bucket: str = "runstream") -> AsyncIterator[EmbeddedS3]:
    """Runs an S3 server on `folder` while the context is open; its keys and the bucket are made on first use.

    It is started again when it dies; requests that come meanwhile wait. `log` is a file, by default one in the folder.

    Raises:
        EmbeddedMissing: The package is not installed.
        FolderInUse: Another process runs it on this folder.
        ChildFailed: It did not start.
    """
    if importlib.util.find_spec("nanio") is None:
        raise EmbeddedMissing("nanio")
    with lock_folder(folder) as folder, _listen(folder / "port") as listener:
        keys = _keys(folder / CREDENTIALS)
        port: int = listener.getsockname()[1]
        child = Child(
            _program(folder, bucket, listener, log or folder / "s3.log"),
            prepare=_nothing,
            serves=lambda _: _answers(port),
        )
        async with keep_running(child):
            objects = folder / "data" / bucket
            yield EmbeddedS3(f"http://{HOST}:{port}", bucket, keys["access_key"], keys["secret_key"], child, objects)


def _program(folder: Path, bucket: str, listener: socket.socket, log: Path) -> Program:
    module = "runstream_server.embedded.s3_server"
    return Program(
        name="s3",
        command=(sys.executable, "-m", module, str(folder), bucket, str(listener.fileno())),
        folder=folder,
        log=log,
        environment=os.environ,
        stop_signals=STOP_SIGNALS,
        descriptors=(listener.fileno(),),
    )


async def _nothing() -> None:
    """Prepares nothing."""


@contextmanager
def _listen(mark: Path) -> Iterator[socket.socket]:
    """Listens on the port noted in `mark`, or where that is taken or there is none, on a free one, and notes it.

    The socket is ours and not the server's, so the port is never lost to somebody else while the server starts again.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, int(mark.read_text())))
        except (OSError, ValueError, OverflowError):
            listener.bind((HOST, 0))
        listener.listen(BACKLOG)
        mark.write_text(f"{listener.getsockname()[1]}\n")
        yield listener


def read_keys(folder: Path) -> tuple[str, str]:
    """The access key and the secret key of the server on a folder, which has run there.

    Raises:
        OSError: None has.
    """
    keys = json.loads((folder / CREDENTIALS).read_text())
    return str(keys["access_key"]), str(keys["secret_key"])


def _keys(path: Path) -> dict[str, str]:
    if not path.exists():
        keys = {"access_key": f"runstream{secrets.token_hex(6)}", "secret_key": secrets.token_urlsafe(30)}
        new = path.with_name("credentials.new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(keys))
        new.replace(path)
    return {name: str(value) for name, value in json.loads(path.read_text()).items()}


async def _answers(port: int) -> bool:
    """Tells whether the server answers; any answer will do, and without keys it is a refusal."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                return bool(await reader.read(1))
            finally:
                writer.close()
    return False
