"""Ends a run whose script found the services away when it ended."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream._channel.errors import is_away
from runstream._spool.records import EndOfRun
from runstream._uplink.warnings import RunWarnings
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.exceptions import AuthenticationException, AzureMLException

_logger = logging.getLogger(__name__)


async def end_run(connection: Connection, run: str, end: EndOfRun, warnings: RunWarnings) -> None:
    """Uploads the outputs of a run and ends it, as soon as the services answer; doing so again changes nothing.

    Outputs that are not there any more, or that the run has already with other bytes, leave a warning, and so does an
    end that the services refuse: somebody else ended the run meanwhile.

    Raises:
        AuthenticationException: They refuse the token.
    """
    for doing, problem in (
        (partial(_upload, connection, run, end), "The outputs were not uploaded"),
        (partial(_call, connection, end), "The run did not end as its script did"),
    ):
        try:
            await _persist(doing)
        except AuthenticationException:
            raise
        except (AzureMLException, OSError) as error:
            _logger.warning("%s: %s: %s", run, problem, error)
            warnings.add(f"{problem}: {getattr(error, 'message', error)}")


async def _persist(doing: Callable[[], Awaitable[None]]) -> None:
    for failures in itertools.count():
        try:
            await doing()
            break
        except AzureMLException as error:
            if not (is_away(error) or (isinstance(error, AuthenticationException) and not error.reason)):
                raise
        await asyncio.sleep(backoff_seconds(failures))


async def _upload(connection: Connection, run: str, end: EndOfRun) -> None:
    from runstream._transfer import upload

    if end.outputs:
        await upload(connection, run, [(name, Path(path)) for name, path in end.outputs])


async def _call(connection: Connection, end: EndOfRun) -> None:
    request = getattr(api, f"{end.method}Request").FromString(end.request)
    request.end_time.FromMicroseconds(end.time)
    await connection.call(getattr(connection.runs, end.method), request)
