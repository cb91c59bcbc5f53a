"""Calls that outlast hours without the services."""

import asyncio
import logging
import random
import time
from typing import Final, TypeVar

from google.protobuf.message import Message

from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream._channel.connection import UnaryMethod
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest
from runstream.exceptions import AuthenticationException, AzureMLException, ServiceException

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

FINAL_STATUSES: Final = frozenset({404, 409})
MAX_JITTER_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 8.0
"""After so long services that do not answer are thought to be away."""
ASK_SECONDS: Final = 2.0

_logger = logging.getLogger(__name__)


def is_final(error: AzureMLException) -> bool:
    """Whether the services will not answer otherwise however often they are asked."""
    if isinstance(error, ServiceException):
        return error.status_code in FINAL_STATUSES
    return not isinstance(error, AuthenticationException)


async def services_away(connection: Connection, run: str) -> None:
    """Returns when the services have not answered for a while."""
    answered, request = time.monotonic(), GetRunRequest(name=run)
    while time.monotonic() - answered < AWAY_SECONDS:
        try:
            await connection.call(connection.runs.GetRun, request, timeout=ASK_SECONDS)
            answered = time.monotonic()
        except AzureMLException as error:
            answered = time.monotonic() if is_final(error) else answered
        await asyncio.sleep(ASK_SECONDS / 2)


async def call_patiently(
    connection: Connection,
    method: UnaryMethod[Request, Response],
    request: Request,
    *,
    waits_for_token: bool = True,
) -> Response:
    """Calls a method until the services answer, however long that takes.

    Raises:
        AzureMLException: They answered that they will not do it.
        AuthenticationException: They refuse the token, and another one is not waited for.
    """
    failures = 0
    while True:
        try:
            return await connection.call(method, request)
        except AzureMLException as error:
            if is_final(error) or (isinstance(error, AuthenticationException) and not waits_for_token):
                raise
            _logger.info("%s", error.message)
        await asyncio.sleep(backoff_seconds(failures) + random.uniform(0, MAX_JITTER_SECONDS) * bool(failures))
        failures += 1
