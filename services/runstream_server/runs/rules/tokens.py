"""The rules of tokens of a workspace."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from runstream_server.auth.model import Caller, Token
from runstream_server.auth.tokens import NewToken, Tokens
from runstream_server.errors import InvalidPageToken
from runstream_server.names import TokenName, WorkspaceName
from runstream_server.paging import page_token, read_page_token
from runstream_server.runs.rules.runs import Runs
from runstream_server.runs.rules.workspaces import Workspaces


class WorkspaceTokens:
    """The rules of tokens of a workspace."""

    def __init__(self, tokens: Tokens, workspaces: Workspaces, runs: Runs) -> None:
        self._tokens = tokens
        self._workspaces = workspaces
        self._runs = runs

    async def create(self, caller: Caller, new: NewToken, request_id: uuid.UUID | None) -> tuple[Token, str]:
        """Makes a token; returns it with its secret.

        Raises:
            TokensNotNeeded: Calls need no token.
            RoleTooSmall: The caller may not make such a token.
            WorkspaceNotFound, RunNotFound: There is no such workspace, or run.
            TokenExists: The request made another token.
        """
        self._tokens.check_may_create(caller, new.role)
        await self._workspaces.get(new.workspace)
        if new.run:
            await self._runs.check_exist(new.workspace, [new.run])
        return await self._tokens.create(new, request_id)

    async def list(
        self, workspace: str, page_size: int, page_token_text: str, *, with_runs: bool
    ) -> tuple[Sequence[Token], str]:
        """Returns a page of tokens, newest first, and the token of the next page.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            InvalidPageToken: The page token is not of this listing.
        """
        listing = ("ListTokens", workspace, str(with_runs))
        last = read_page_token(page_token_text, listing, 2)
        await self._workspaces.get(workspace)
        found = await self._tokens.list(workspace, _place(last) if last else None, page_size + 1, with_runs=with_runs)
        page = found[:page_size]
        if len(found) == len(page):
            return page, ""
        return page, page_token(listing, [page[-1].create_time.isoformat(), page[-1].token])

    async def revoke_all(self, workspace: str) -> None:
        """Revokes all tokens of a workspace that is no more."""
        await self._tokens.revoke_all(WorkspaceName(workspace))

    async def revoke(self, name: TokenName) -> Token:
        """Revokes a token; raises TokenNotFound."""
        return await self._tokens.revoke(name)


def _place(last: Sequence[str]) -> tuple[datetime, str]:
    try:
        time = datetime.fromisoformat(last[0])
    except ValueError:
        raise InvalidPageToken from None
    if time.tzinfo is None:
        raise InvalidPageToken
    return time, last[1]
