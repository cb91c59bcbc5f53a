"""Tries transfers again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from runstream._channel.backoff import backoff_seconds
from runstream._transfer.http import TransferFailed
from runstream.exceptions import ServiceException

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS: Final = 5
AT_ONCE: Final = 4
"""Files that are read or sent at the same time."""


async def persist(attempt: Callable[[], Awaitable[T]]) -> T:
    """What an attempt returns, the first that succeeds of up to `ATTEMPTS`.

    Raises:
        ServiceException: The bucket failed in the last one too, or refused.
    """
    failures = 0
    while True:
        try:
            return await attempt()
        except TransferFailed as failed:
            if not failed.transient or failures + 1 == ATTEMPTS:
                raise _unavailable(failed) from None
        await asyncio.sleep(backoff_seconds(failures))
        failures += 1


async def each(work: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """The results of work on each item, in order, `AT_ONCE` of them at a time; the first failure ends all."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> R:
        async with room:
            return await work(item)

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _unavailable(failed: TransferFailed) -> ServiceException:
    status = 503 if failed.transient else 500
    return ServiceException(f"The transfer failed: {failed}.", status_code=status, reason="TRANSFER_FAILED")
