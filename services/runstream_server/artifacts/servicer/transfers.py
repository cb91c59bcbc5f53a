"""How many streams of bytes a process serves at once: each holds some MiB for as long as it lasts."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runstream_server.rpc.limits import CallLimit

_READERS = 16
_WRITERS = 64
_STALL_SECONDS = 60.0


class Transfers:
    """Counts the streams that bring bytes and those that take them."""

    def __init__(self) -> None:
        self._readers = CallLimit("reading", _READERS)
        self._writers = CallLimit("writing", _WRITERS)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Takes room for a stream to a client; raises TooManyCalls when there is none."""
        with _counted(self._readers):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Takes room for a stream from a client; raises TooManyCalls when there is none."""
        with _counted(self._writers):
            yield


@contextmanager
def _counted(limit: CallLimit) -> Iterator[None]:
    limit.enter()
    try:
        yield
    finally:
        limit.leave()


async def send(context: Any, message: Any) -> None:
    """Writes a message; raises TimeoutError if the client takes nothing for a minute."""
    async with asyncio.timeout(_STALL_SECONDS):
        await context.write(message)
