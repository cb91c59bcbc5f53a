"""Goes on while the services are away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runstream._channel.backoff import backoff_seconds
from runstream.core._tail import RESUMABLE
from runstream.exceptions import ServiceException

T = TypeVar("T")


async def lasting(attempt: Callable[[], Awaitable[T]]) -> T:
    """What an attempt returns, which is made again for as long as the services are away."""
    failures = 0
    while True:
        try:
            return await attempt()
        except ServiceException as error:
            if error.status_code not in RESUMABLE:
                raise
        await asyncio.sleep(backoff_seconds(failures))
        failures += 1
