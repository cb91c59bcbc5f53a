"""Searches logs, however long it takes and whatever connections break."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream.api.logs.v1 import log_service_pb2 as logs_api
from runstream.core._log_reading import MAX_FAILURES
from runstream.core._log_tail import RESUMABLE
from runstream.exceptions import ServiceException

MAX_MATCHES: Final = 10_000
"""Of one call."""


async def search_logs(
    connect: Callable[[], Connection], request: logs_api.SearchLogsRequest, limit: int
) -> AsyncGenerator[logs_api.SearchLogsResponse, None]:
    """What is found, in order and once, until everything was searched or `limit` lines were found; 0: all of them.

    Raises:
        ServiceException: The services stay away.
        UserErrorException: The pattern or the filter is wrong.
    """
    failures, left = 0, limit
    while limit == 0 or left > 0:
        request.max_matches = min(left or MAX_MATCHES, MAX_MATCHES)
        try:
            connection = connect()
            async for response in connection.stream(connection.logs.SearchLogs, request):
                failures = 0
                request.cursor = response.cursor or request.cursor
                left -= len(response.matches) if limit else 0
                yield response
                if response.ended == logs_api.SEARCH_END_COMPLETE:
                    return
        except ServiceException as error:
            failures += 1
            if error.status_code not in RESUMABLE or failures > MAX_FAILURES:
                raise
            await asyncio.sleep(backoff_seconds(failures))
