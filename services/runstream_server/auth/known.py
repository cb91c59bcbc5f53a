"""Knows the tokens that were used lately, so that a call needs no look into the database."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from runstream_server.auth.errors import TokenExpired, TokenRevoked, TokenUnknown
from runstream_server.auth.model import Caller, Token
from runstream_server.auth.store import TokenStore

_MOST = 10_000

_LOOKS_AT_ONCE = 3
"""Whoever tries secrets must not take all connections to the database."""

_GRACE_SECONDS = 5.0
"""How much longer others go on with what is known while one looks again."""


class KnownTokens:
    """Finds callers by the digests of their secrets."""

    def __init__(self, store: TokenStore, now: Callable[[], datetime], *, seconds: float) -> None:
        """`seconds` says for how long a token that was looked up is believed to be as it was."""
        self._store = store
        self._now = now
        self._seconds = seconds
        self._known: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._used: set[bytes] = set()
        self._room = asyncio.Semaphore(_LOOKS_AT_ONCE)

    async def find(self, digest: bytes) -> Caller:
        """Returns who has a secret.

        Raises:
            TokenUnknown: Nobody has.
            TokenExpired, TokenRevoked: It is no longer taken.
        """
        caller, until = self._known.get(digest) or (None, 0.0)
        if caller is None or until < time.monotonic():
            caller = await self._look(digest, caller)
        check_current(caller, self._now())
        return caller

    async def _look(self, digest: bytes, known: Caller | None) -> Caller:
        if known is not None:
            self._keep(digest, known, min(self._seconds, _GRACE_SECONDS))
        async with self._room:
            found = await self._store.find([digest])
        if digest not in found:
            self._known.pop(digest, None)
            raise TokenUnknown
        self._used.add(digest)
        return self._keep(digest, _caller(found[digest], digest), self._seconds)

    def _keep(self, digest: bytes, caller: Caller, seconds: float) -> Caller:
        self._known[digest] = caller, time.monotonic() + seconds
        self._known.move_to_end(digest)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return caller

    async def look_again(self, digests: Collection[bytes]) -> Mapping[bytes, Caller]:
        """Returns who has secrets now, as far as there are such."""
        found = await self._store.find(digests)
        self._used.update(found)
        return {digest: self._keep(digest, _caller(token, digest), self._seconds) for digest, token in found.items()}

    def take_used(self) -> Sequence[bytes]:
        """Which tokens were used since this was last asked."""
        used, self._used = list(self._used), set()
        return used


def check_current(caller: Caller, now: datetime) -> None:
    """Raises TokenRevoked or TokenExpired if the token of a caller is no longer taken."""
    token = caller.token
    if token is None:
        return
    if token.revoke_time is not None:
        raise TokenRevoked(token.revoke_time)
    if token.expire_time is not None and token.expire_time <= now:
        raise TokenExpired(token.expire_time)


def _caller(token: Token, digest: bytes) -> Caller:
    return Caller(token.role, token, digest)
