"""Watchers wait for every transaction that is open, whoever has it: what is done about one that does not end."""

import asyncio
import logging

from prometheus_client import Counter

from runstream_server.runs.store.horizon import Horizon

WARN_SECONDS = 10.0
"""After how long of waiting it is told: longer than transactions of our own take."""

_AGAIN_SECONDS = 60.0
_FIRST_SECONDS = 0.002
_MOST_SECONDS = 0.1
_LONG_SECONDS = 0.25

_HELD_BACK = Counter(
    "runstream_runs_watch_held_back_seconds_total",
    "How long changes of runs waited for a transaction that stayed open, beyond the usual.",
)

logger = logging.getLogger(__name__)


class Patience:
    """Waits, for the feed of one workspace, for transactions to end that are open."""

    def __init__(self, horizon: Horizon, workspace: str, warn_seconds: float) -> None:
        self._horizon = horizon
        self._workspace = workspace
        self._warn_seconds = warn_seconds
        self._pause = _FIRST_SECONDS
        self._xid = -1
        self._since = self._last = 0.0
        self._warned: float | None = None

    async def wait(self, xid: int) -> None:
        """Waits a moment, a longer one each time, for a feed that got as far as `xid` and knows that there is more.

        When it got no further for a while, transactions that cannot concern it are waited for no longer.
        """
        now = asyncio.get_running_loop().time()
        if xid != self._xid:
            self._xid, self._since, self._last, self._warned = xid, now, now, None
        if now - self._since >= _LONG_SECONDS:
            _HELD_BACK.inc(now - self._last)
            await self._horizon.advance()
        self._last = now
        if now - self._since >= self._warn_seconds and self._may_warn(now):
            self._warned = now
            await self._warn(now - self._since)
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _MOST_SECONDS)

    def end(self) -> None:
        """Notes that the feed waits for nothing."""
        self._pause, self._xid = _FIRST_SECONDS, -1

    def _may_warn(self, now: float) -> bool:
        return self._warned is None or now - self._warned >= _AGAIN_SECONDS

    async def _warn(self, seconds: float) -> None:
        open_ = await self._horizon.oldest()
        logger.warning(
            "watchers wait for a transaction that stays open; end it, or bound idle_in_transaction_session_timeout",
            extra={
                "workspace": self._workspace,
                "held_back_seconds": round(seconds, 1),
                "pid": open_ and open_.pid,
                "application": open_ and open_.application,
                "open_seconds": open_ and open_.seconds,
            },
        )
