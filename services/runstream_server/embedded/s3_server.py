"""The program of the S3 server: `python -m runstream_server.embedded.s3_server FOLDER BUCKET SOCKET`.

It serves on a listening socket that it inherits as file descriptor SOCKET, and ends when its standard input does, that
is, when the process that started it is gone. `nanio serve` can do neither.
"""

import asyncio
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import uvicorn
from nanio.app import build_app
from nanio.auth.credentials import StaticCredentialResolver
from nanio.config import Settings
from nanio.errors import BucketAlreadyOwnedByYou
from nanio.logging import setup_logging
from nanio.storage.filesystem import FilesystemStorage

# Longer than clients keep theirs, so that none sends a request into a connection that is just being closed.
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 5


def make_server(folder: Path, bucket: str) -> uvicorn.Server:
    """Builds the server on the objects in `folder`, with its bucket made."""
    data = folder / "data"
    with suppress(BucketAlreadyOwnedByYou):
        FilesystemStorage(data).create_bucket(bucket)
    credentials = json.loads((folder / "credentials.json").read_text())
    resolver = StaticCredentialResolver({credentials["access_key"]: credentials["secret_key"]})
    return uvicorn.Server(
        uvicorn.Config(
            build_app(Settings(data_dir=data, credentials=resolver)),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


async def serve(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serves until told to stop by a signal or the end of standard input."""
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), lambda: _stop_at_end(server))
    await server.serve(sockets=[listener])


def _stop_at_end(server: uvicorn.Server) -> None:
    if not os.read(sys.stdin.fileno(), 1):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        server.should_exit = True


def main(folder: str, bucket: str, listener: str) -> None:
    """Runs the server."""
    setup_logging("warning")
    asyncio.run(serve(make_server(Path(folder), bucket), socket.socket(fileno=int(listener))))


if __name__ == "__main__":
    main(*sys.argv[1:])
