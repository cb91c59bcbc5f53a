"""The rules of tokens."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runstream_server.auth.errors import RoleTooSmall, TokenExists, TokenNotFound, TokensNotNeeded, TooManyTokens
from runstream_server.auth.model import Caller, Role, Token, digest_of, includes, make_secret
from runstream_server.auth.store import TokenStore
from runstream_server.errors import InvalidField
from runstream_server.names import RunName, TokenName, WorkspaceName

MOST_TOKENS = 1_000
"""How many tokens of a workspace, and of a run, are taken at the same time."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to make."""

    role: Role

    workspace: str = ""
    """Empty with `Role.OPERATOR`, and only then."""

    run: str = ""
    """With `Role.RUN`, and only then."""

    display_name: str = ""

    expire_time: datetime | None = None
    """None: never, or for one of a run as late as it may be."""


@dataclass(frozen=True, slots=True)
class RunToken:
    """A token for the program of a run."""

    secret: str = field(repr=False)
    expire_time: datetime


class Tokens:
    """Makes, lists and revokes tokens."""

    def __init__(
        self, store: TokenStore, now: Callable[[], datetime], *, required: bool, run_lifetime: timedelta
    ) -> None:
        """`required` says whether calls need a token, `run_lifetime` how long tokens of runs are taken at most."""
        self._store = store
        self._now = now
        self._required = required
        self._run_lifetime = run_lifetime

    def check_may_create(self, caller: Caller, role: Role) -> None:
        """Raises RoleTooSmall if the caller may not make tokens of a role, TokensNotNeeded if nobody needs to."""
        if not self._required:
            raise TokensNotNeeded
        if role is not Role.RUN and not includes(caller.role, Role.ADMIN):
            raise RoleTooSmall(Role.ADMIN, caller.role)

    async def create(self, new: NewToken, request_id: uuid.UUID | None = None) -> tuple[Token, str]:
        """Makes a token; returns it with its secret, which is kept nowhere.

        Raises:
            InvalidField: It would have expired, or lives too long for a token of a run.
            TokenExists: The request made another token.
            TooManyTokens: There are as many as there may be.
        """
        now, secret = self._now(), make_secret(new.role)
        if await self._store.count(new.workspace, new.run, now, MOST_TOKENS) >= MOST_TOKENS:
            raise TooManyTokens(MOST_TOKENS)
        token = Token(
            token=uuid.uuid4().hex,
            role=new.role,
            workspace=new.workspace,
            run=new.run,
            display_name=new.display_name,
            create_time=now,
            expire_time=self._expire_time(new, now),
        )
        stored = await self._store.create(token, digest_of(secret), request_id)
        if stored is None:
            raise TokenExists
        return stored, secret

    def _expire_time(self, new: NewToken, now: datetime) -> datetime | None:
        latest = now + self._run_lifetime if new.role is Role.RUN else None
        time = new.expire_time or latest
        if time is not None and time <= now:
            raise InvalidField("token.expire_time", f"expected a time in the future; got {time.isoformat()}")
        if time is not None and latest is not None and time > latest:
            raise InvalidField(
                "token.expire_time", f"a token of a run expires by {latest.isoformat()}, which is the default"
            )
        return time

    async def list(
        self, workspace: str | None, before: tuple[datetime, str] | None, limit: int, *, with_runs: bool
    ) -> Sequence[Token]:
        """Returns up to `limit` tokens of a workspace, or with None of all, newest first, those before a place."""
        return await self._store.list(workspace, before, limit, with_runs=with_runs)

    async def revoke(self, name: TokenName) -> Token:
        """Revokes a token; raises TokenNotFound."""
        token = await self._store.revoke(name.workspace, name.token, self._now())
        if token is None:
            raise TokenNotFound(name)
        return token

    async def revoke_all(self, workspace: WorkspaceName) -> None:
        """Revokes all tokens of a workspace that is no more."""
        await self._store.revoke_all(workspace.workspace, self._now())

    async def revoke_secret(self, secret: str) -> None:
        """Revokes the token with a secret, if there is one."""
        await self._store.revoke_secret(digest_of(secret), self._now())


class RunTokens:
    """Makes tokens for the programs of runs, where calls need tokens."""

    def __init__(self, tokens: Tokens, now: Callable[[], datetime], *, required: bool, lifetime: timedelta) -> None:
        self._tokens = tokens
        self._now = now
        self._required = required
        self._lifetime = lifetime

    async def make(self, run: RunName) -> RunToken | None:
        """Makes a token that reaches a run and those below it; None where none is needed."""
        if not self._required:
            return None
        token, secret = await self._tokens.create(NewToken(Role.RUN, run.workspace, run.run))
        assert token.expire_time is not None, "the table says so"
        return RunToken(secret, token.expire_time)

    async def renew(self, run: RunName, expire_time: datetime | None) -> RunToken | None:
        """Makes another token where the newest one, which expires then, has lived for half of its time.

        None where that is not due yet, or no token is needed. `expire_time` None: there is none.
        """
        if expire_time is not None and expire_time - self._now() > self._lifetime / 2:
            return None
        return await self.make(run)
