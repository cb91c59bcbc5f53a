"""Calls that outlast the services being away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from runstream._channel.backoff import backoff_seconds
from runstream.exceptions import ServiceException

AWAY: Final = frozenset({429, 503})

T = TypeVar("T")


async def persist(work: Callable[[], Awaitable[T]]) -> T:
    """What some work gives, which is begun again until the services answer.

    Raises:
        AzureMLException: They answered that they will not do it.
    """
    failures = 0
    while True:
        try:
            return await work()
        except ServiceException as error:
            if error.status_code not in AWAY:
                raise
        await asyncio.sleep(backoff_seconds(failures))
        failures += 1
