"""Goes on while the services are away, and after what nobody expected."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from runstream._channel.backoff import backoff_seconds
from runstream.core._tail import RESUMABLE
from runstream.exceptions import AzureMLException, ServiceException

T = TypeVar("T")

SERVER_ERROR: Final = 500

_logger = logging.getLogger("runstream")


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


async def going_on(follow: Callable[[], Awaitable[None]], tell: Callable[[str], None]) -> None:
    """Follows something to its end; it is begun again after any error, unless the services refuse.

    `tell` hears why it stopped, and an empty text when it is begun again.
    """
    failures = 0
    while True:
        tell("")
        try:
            return await follow()
        except Exception as error:  # noqa: BLE001 - whatever it is, what stands still says so
            tell(stop_reason(error))
            if not may_pass(error):
                return None
        await asyncio.sleep(backoff_seconds(failures))
        failures += 1


def may_pass(error: Exception) -> bool:
    """Whether the same may work later: the services did not refuse it."""
    if isinstance(error, ServiceException):
        return error.status_code >= SERVER_ERROR or error.status_code in RESUMABLE
    return not isinstance(error, AzureMLException)


def stop_reason(error: Exception) -> str:
    """Why something stopped, for people."""
    if isinstance(error, AzureMLException):
        return error.message
    _logger.debug("something that was followed stopped", exc_info=error)
    return f"Stopped by {type(error).__name__}: {error}"
