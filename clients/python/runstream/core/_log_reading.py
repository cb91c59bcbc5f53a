"""Reads a log file that is there, across broken connections."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream.api.logs.v1 import log_service_pb2 as logs_api
from runstream.core._log_tail import RESUMABLE
from runstream.exceptions import ServiceException

MAX_FAILURES: Final = 8
"""Broken connections in a row, without a byte in between, after which reading is given up: some 20 seconds."""


async def read_log(
    connect: Callable[[], Connection], request: logs_api.ReadLogRequest
) -> AsyncGenerator[logs_api.ReadLogResponse, None]:
    """What a request reads, in order and once.

    A file that grows is read as long as it was at the beginning, or after a connection broke at that time.

    Raises:
        ServiceException: The run has no such log file, `status_code` is 404; or the services stay away.
    """
    failures, end = 0, 0
    while True:
        try:
            connection = connect()
            async for response in connection.stream(connection.logs.ReadLog, request):
                failures = 0
                _cut(response, end)
                if response.data:
                    yield response
                    end = response.offset + len(response.data)
                    _go_on_after(request, response)
            return
        except ServiceException as error:
            failures += 1
            if error.status_code not in RESUMABLE or failures > MAX_FAILURES:
                raise
            await asyncio.sleep(backoff_seconds(failures))


def _go_on_after(request: logs_api.ReadLogRequest, response: logs_api.ReadLogResponse) -> None:
    """Lets the request begin after what came; one for lines begins with the line in which that ends."""
    if request.HasField("lines"):
        request.lines.first = response.line + response.data.count(b"\n")
    else:
        request.ClearField("range")
        request.start_offset = response.offset + len(response.data)


def _cut(response: logs_api.ReadLogResponse, end: int) -> None:
    """Leaves out the bytes before `end`, which came before."""
    if response.offset < end:
        known = response.data[: end - response.offset]
        response.data = response.data[len(known) :]
        response.offset += len(known)
        response.line += known.count(b"\n")
