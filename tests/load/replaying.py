"""A server that answers any server stream with the bytes of a file: `python -m tests.load.replaying FILE`.

Prints its port. The file has messages, each after its length in 8 bytes, little endian.
"""

import asyncio
import struct
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from runstream_server.rpc import open_channel
from runstream_server.rpc.options import server_options

_LENGTH = struct.Struct("<Q")


def record(path: Path, messages: Iterable[bytes]) -> None:
    """Writes what is to be replayed."""
    path.write_bytes(b"".join(_LENGTH.pack(len(message)) + message for message in messages))


def recorded(path: Path) -> list[bytes]:
    """Reads it again."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = _LENGTH.unpack_from(data)
        found.append(data[_LENGTH.size : _LENGTH.size + length])
        data = data[_LENGTH.size + length :]
    return found


@asynccontextmanager
async def replaying(path: Path) -> AsyncIterator[grpc.aio.Channel]:
    """Runs the server; a channel to it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.load.replaying", str(path)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        async with open_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        process.terminate()
        await process.wait()


class Replaying(grpc.GenericRpcHandler):
    """Serves all methods alike."""

    def __init__(self, messages: list[bytes]) -> None:
        self._messages = messages

    def service(self, _: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_stream_rpc_method_handler(self._replay)

    async def _replay(self, _: bytes, context: Any) -> None:
        for message in self._messages:
            await context.write(message)


async def main(path: Path) -> None:
    """Serves until ended."""
    server = grpc.aio.server(options=server_options(share_port=False))
    server.add_generic_rpc_handlers((Replaying(recorded(path)),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
