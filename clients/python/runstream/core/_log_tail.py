"""Follows one log file while it grows."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream.api.logs.v1 import log_service_pb2 as logs_api
from runstream.exceptions import ServiceException

RESUMABLE = frozenset({429, 503})


class LogTail:
    """What comes of one log file, in order and once, whatever connections break."""

    def __init__(self, connect: Callable[[], Connection], request: logs_api.TailLogRequest) -> None:
        """`request` says where it starts."""
        self._connect = connect
        self._request = request
        self.offset = 0
        """Where the next byte stands in the file."""

    async def responses(self) -> AsyncGenerator[logs_api.TailLogResponse, None]:
        """What comes until the writer or the run has ended. Called again it goes on after that: a writer may come back.

        Raises:
            ServiceException: The run or the file is not there, or not any more; `status_code` is 404.
        """
        failures = 0
        while True:
            try:
                connection = self._connect()
                async for response in connection.stream(connection.logs.TailLog, self._request):
                    failures = 0
                    self._take(response)
                    yield response
                    if response.ended:
                        return
            except ServiceException as error:
                if error.status_code not in RESUMABLE:
                    raise
            await asyncio.sleep(backoff_seconds(failures))
            failures += 1

    def _take(self, response: logs_api.TailLogResponse) -> None:
        if response.cursor:
            self._request.cursor = response.cursor
            self._request.ClearField("start")
            self._request.ClearField("last_lines")
        if response.data:
            self.offset = response.offset + len(response.data)
