"""Puts authorisation together for a process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import grpc

from runstream_server.auth.definitions import Definitions
from runstream_server.auth.guard import Guards
from runstream_server.auth.known import KnownTokens
from runstream_server.auth.lasting import OpenCalls
from runstream_server.auth.model import Caller
from runstream_server.auth.reach import Reach
from runstream_server.auth.store import TokenStore
from runstream_server.auth.tokens import RunTokens, Tokens
from runstream_server.auth_config import AuthConfig
from runstream_server.names import RunName
from runstream_server.postgres import Postgres
from runstream_server.runhistory.lineage import Lineage

logger = logging.getLogger(__name__)

_USE_COARSENESS = timedelta(minutes=1)
_KEPT = timedelta(days=30)
_RUNS_KEPT = timedelta(days=1)
_FORGET_SECONDS = 3_600.0


@dataclass(frozen=True)
class Auth:
    """Authorisation in a process."""

    tokens: Tokens
    run_tokens: RunTokens

    guards: Guards | None
    """None: everybody may do everything."""

    _config: AuthConfig

    async def reaches(self, caller: Caller, run: RunName) -> bool:
        """Whether a run of the workspace of the caller is in its reach."""
        if self.guards is None or caller.run is None:
            return True
        return await self.guards.reach.unreached(caller.run, [run]) is None

    def ask(self, channel: grpc.aio.Channel) -> None:
        """Says where the services are that know which run is below which."""
        if self.guards is not None:
            self.guards.ask(Reach(Lineage(channel), Definitions(channel), seconds=self._config.check_seconds))


@asynccontextmanager
async def open_auth(config: AuthConfig, postgres: Postgres, now: Callable[[], datetime]) -> AsyncIterator[Auth]:
    """Makes tokens, and where they are required asks for them, while the context is open."""
    store = TokenStore(postgres)
    lifetime = timedelta(seconds=config.run_token_seconds)
    tokens = Tokens(store, now, required=config.required, run_lifetime=lifetime)
    run_tokens = RunTokens(tokens, now, required=config.required, lifetime=lifetime)
    if not config.required:
        yield Auth(tokens, run_tokens, None, config)
        return
    known = KnownTokens(store, now, seconds=config.check_seconds)
    calls = OpenCalls(known, now)
    guards = Guards(known, calls, config.service_key)
    upkeep = _Upkeep(store, known, calls, guards, now)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(upkeep.check_forever(config.check_seconds), name="auth-check"),
            tasks.create_task(upkeep.forget_forever(), name="auth-forget"),
        ]
        try:
            yield Auth(tokens, run_tokens, guards, config)
        finally:
            for task in running:
                task.cancel()


class _Upkeep:
    """What goes on in the background."""

    def __init__(
        self, store: TokenStore, known: KnownTokens, calls: OpenCalls, guards: Guards, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._known = known
        self._calls = calls
        self._guards = guards
        self._now = now

    async def check_forever(self, seconds: float) -> None:
        """Ends streams whose tokens are no longer taken, and writes down which tokens were used."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self._calls.check()
                await self._calls.check_runs(self._is_present)
                if used := self._known.take_used():
                    await self._store.note_use(used, self._now(), _USE_COARSENESS)
            except Exception as error:  # noqa: BLE001 - whatever it is, check again
                logger.warning("streams were not checked", extra={"error": repr(error)})

    async def _is_present(self, run: RunName) -> bool:
        return await self._guards.reach.look_again(run) is not None

    async def forget_forever(self) -> None:
        """Deletes tokens that have not been taken for long."""
        while True:
            await asyncio.sleep(_FORGET_SECONDS)
            try:
                await self._store.forget(self._now() - _KEPT, self._now() - _RUNS_KEPT)
            except Exception as error:  # noqa: BLE001 - whatever it is, try again
                logger.warning("old tokens were not deleted", extra={"error": repr(error)})
