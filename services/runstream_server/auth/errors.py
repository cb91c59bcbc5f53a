"""Why callers are turned away."""

from datetime import datetime

from runstream_server.auth.model import Role
from runstream_server.errors import AlreadyExists, FailedPrecondition, NotFound, PermissionDenied, Unauthenticated
from runstream_server.names import TokenName

_HELP = "ask an admin of the workspace for one, or whoever runs the services"


class TokenMissing(Unauthenticated):
    """The call has no token."""

    reason = "TOKEN_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "these services want a token: send it as `authorization: Bearer SECRET`; in Python and on the command line"
            f" set RUNSTREAM_TOKEN_FILE or run `runstream login --token-stdin`; {_HELP}"
        )


class TokenUnknown(Unauthenticated):
    """No token has such a secret."""

    reason = "TOKEN_UNKNOWN"

    def __init__(self) -> None:
        super().__init__(f"these services do not know the token; check that it is theirs and complete, or {_HELP}")


class TokenExpired(Unauthenticated):
    """The time of the token is over."""

    reason = "TOKEN_EXPIRED"

    def __init__(self, expire_time: datetime) -> None:
        super().__init__(
            f"the token expired at {expire_time.isoformat()}; {_HELP}", expire_time=expire_time.isoformat()
        )


class TokenRevoked(Unauthenticated):
    """Somebody revoked the token."""

    reason = "TOKEN_REVOKED"

    def __init__(self, revoke_time: datetime) -> None:
        super().__init__(
            f"the token was revoked at {revoke_time.isoformat()}; {_HELP}", revoke_time=revoke_time.isoformat()
        )


class RoleTooSmall(PermissionDenied):
    """The token does not allow this."""

    reason = "ROLE_TOO_SMALL"

    def __init__(self, needed: Role, role: Role, why: str = "") -> None:
        super().__init__(
            f"{why or 'this'} needs a token with the role {needed}, and this one has {role}; {_HELP}",
            needed_role=needed,
            role=role,
        )


class TokenNotFound(NotFound):
    """No token of the workspace has the name."""

    reason = "TOKEN_NOT_FOUND"

    def __init__(self, name: TokenName) -> None:
        super().__init__(f"no token has the name {name}; ListTokens tells which there are", token=name)


class TokenExists(AlreadyExists):
    """A request made another token."""

    reason = "TOKEN_EXISTS"

    def __init__(self) -> None:
        super().__init__("the request_id made another token, or one that was revoked; choose another request_id")


class TooManyTokens(FailedPrecondition):
    """There are as many tokens as there may be."""

    reason = "TOO_MANY_TOKENS"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} tokens of the workspace, or of the run, are taken already, which is all there may be; revoke"
            " those that nobody uses, or wait until some expire",
            limit=limit,
        )


class TokensNotNeeded(FailedPrecondition):
    """The services let everybody in."""

    reason = "TOKENS_NOT_NEEDED"

    def __init__(self) -> None:
        super().__init__(
            "these services let everybody in, so they make no tokens; whoever runs them sets RUNSTREAM_AUTH=required,"
            " or makes tokens beforehand by `runstream-server token create`"
        )
