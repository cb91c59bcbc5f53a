"""One attempt to seal something, and what becomes of those that fail."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from prometheus_client import Counter

from runstream_server.errors import BucketUnavailable, RunstreamError
from runstream_server.sealing.lease import ClaimLostError
from runstream_server.sealing.pace import Pace

logger = logging.getLogger(__name__)


@asynccontextmanager
async def attempt(
    pace: Pace, task: Mapping[str, str], fail: Callable[[], Awaitable[None]], failures: Counter
) -> AsyncIterator[None]:
    """Seals something within its share of time.

    Whatever goes wrong is logged with what `task` says and counted by reason, and `fail` has it tried again later.
    Nothing is done if somebody else has claimed it meanwhile.

    Raises:
        BucketUnavailable: It would fail for everything else, too.
    """
    try:
        async with pace.work():
            yield
    except ClaimLostError:
        logger.info("somebody else seals it", extra=dict(task))
    except Exception as error:
        is_known = isinstance(error, RunstreamError)
        reason = error.reason if isinstance(error, RunstreamError) else type(error).__name__
        failures.labels(reason).inc()
        extra = {**task, "reason": reason, "error": str(error)}
        logger.error("not sealed", extra=extra, exc_info=None if is_known else error)
        await fail()
        if isinstance(error, BucketUnavailable):
            raise
