"""The words of authorisation."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from runstream_server.names import RunName, TokenName, WorkspaceName

_FORM = re.compile(r"rs[tr]_[A-Za-z0-9_\-]{43}")
_SECRET_BYTES = 32


class Role(StrEnum):
    """What a caller may do; as in `TokenRole`."""

    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"
    RUN = "run"
    OPERATOR = "operator"

    SERVICE = "service"
    """One of our own services. No token has it."""


_LEVELS = {Role.RUN: 0, Role.READER: 1, Role.WRITER: 2, Role.ADMIN: 3, Role.OPERATOR: 4, Role.SERVICE: 5}


def includes(role: Role, needed: Role) -> bool:
    """Whether who has `role` may do what `needed` may. A token of a run has rules of its own."""
    return _LEVELS[role] >= _LEVELS[needed]


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is stored."""

    token: str
    role: Role

    workspace: str
    """Empty: none, for an operator."""

    run: str
    """With `Role.RUN` the run that it reaches; else empty."""

    display_name: str
    create_time: datetime
    expire_time: datetime | None
    last_use_time: datetime | None = None
    revoke_time: datetime | None = None

    @property
    def name(self) -> TokenName:
        """Its resource name."""
        return TokenName(self.workspace, self.token)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    role: Role

    token: Token | None = None
    """None: no token was needed, or it is one of our own services."""

    digest: bytes = b""
    """That of the secret of the token."""

    @property
    def workspace(self) -> WorkspaceName | None:
        """The only workspace that the caller reaches; None: all."""
        return WorkspaceName(self.token.workspace) if self.token and self.token.workspace else None

    @property
    def run(self) -> RunName | None:
        """The run to which, and to the runs below it, the caller is confined; None: to none."""
        return RunName(self.token.workspace, self.token.run) if self.token and self.token.run else None


ANYBODY = Caller(Role.OPERATOR)
"""Who calls where no token is needed."""

SERVICE = Caller(Role.SERVICE)
"""One of our own services."""


def make_secret(role: Role) -> str:
    """A new secret; its beginning tells people and scanners what it is."""
    return ("rsr_" if role is Role.RUN else "rst_") + secrets.token_urlsafe(_SECRET_BYTES)


def is_secret(text: str) -> bool:
    """Whether a text has the form of a secret."""
    return _FORM.fullmatch(text) is not None


def digest_of(secret: str) -> bytes:
    """What is stored of a secret: its SHA-256."""
    return hashlib.sha256(secret.encode()).digest()
