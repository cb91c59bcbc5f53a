"""Which token calls carry: where it is looked for, and that what replaces it is used from then on."""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runstream._channel.address import parse_address, stored_tokens
from runstream.exceptions import UserErrorException

TOKEN_VARIABLE: Final = "RUNSTREAM_TOKEN"  # noqa: S105
TOKEN_FILE_VARIABLE: Final = "RUNSTREAM_TOKEN_FILE"  # noqa: S105
TOKEN_VARIABLES: Final = (TOKEN_FILE_VARIABLE, TOKEN_VARIABLE)
PRIVATE_VARIABLES: Final = (*TOKEN_VARIABLES, "AZUREML_RUN_TOKEN", "AZUREML_RUN_TOKEN_EXPIRY")
"""What is not handed on to processes that serve others too."""
RUN_TOKEN_PREFIX: Final = "rsr_"  # noqa: S105
"""What tokens begin with that reach one run and those below it."""
TOKEN_REASONS: Final = frozenset({"TOKEN_MISSING", "TOKEN_UNKNOWN", "TOKEN_EXPIRED", "TOKEN_REVOKED", "ROLE_TOO_SMALL"})
"""The reasons of failures that another token helps against."""
LOOK_SECONDS: Final = 0.1
"""How old what is known of the token may be."""
MAX_FILE_BYTES: Final = 4_096

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,1024}")


@dataclass(frozen=True)
class Token:
    """What one call carries."""

    secret: str = field(default="", repr=False)
    """Never shown; empty: none."""

    source: str = ""
    """What gave it, or what should have: the name of a variable, `runstream login` or `runstream up`."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...] | None:
        """As metadata of a call."""
        return (("authorization", f"Bearer {self.secret}"),) if self.secret else None

    @property
    def is_of_run(self) -> bool:
        """Whether it reaches one run and those below it only."""
        return self.secret.startswith(RUN_TOKEN_PREFIX)


NO_TOKEN: Final = Token()


class Credential:
    """The token that calls to one address carry, looked for again as time passes. Used by one event loop."""

    def __init__(self, find: Callable[[], Token], told: Callable[[], object] = lambda: None) -> None:
        """`told` says what is quickly known: when it says something else, a token is looked for at once."""
        self._find = find
        self._tell = told
        self._told: object = None
        self._token = NO_TOKEN
        self._metadata: tuple[tuple[str, str], ...] | None = None
        self._look_time = 0.0

    @classmethod
    def ambient(cls, address: str) -> "Credential":
        """What the surroundings of this process say, as `find_token`."""
        return cls(lambda: find_token(address), _told_variables)

    @property
    def token(self) -> Token:
        """The token that a call would carry now."""
        if time.monotonic() >= self._look_time or self._tell() != self._told:
            self._look()
        return self._token

    @property
    def metadata(self) -> tuple[tuple[str, str], ...] | None:
        """The metadata of a call that is made now."""
        if time.monotonic() >= self._look_time or self._tell() != self._told:
            self._look()
        return self._metadata

    def replaces(self, refused: Token) -> bool:
        """Takes note that the services know a token not, or not any more; whether there is another one now."""
        self._look()
        return bool(self._token.secret) and self._token.secret != refused.secret

    @property
    def stands_in(self) -> bool:
        """Whether it is another token than the one that was meant, which was refused."""
        return False

    def _look(self) -> None:
        self._told = self._tell()
        token = self._find()
        if token != self._token:
            self._token, self._metadata = token, token.metadata
        self._look_time = time.monotonic() + LOOK_SECONDS


class Alternatives(Credential):
    """One token after the other: the first that is there and was not refused; the very first where all were."""

    def __init__(
        self, *finds: Callable[[], Token], otherwise: Callable[[], Iterable[Token]] = tuple[Token, ...]
    ) -> None:
        """`otherwise` is asked only when one was refused."""
        super().__init__(self._choose)
        self._finds = finds
        self._otherwise = otherwise
        self._refused: set[str] = set()

    def replaces(self, refused: Token) -> bool:
        """Takes note that the services know a token not, or not any more; whether there is another one now."""
        self._refused.add(refused.secret)
        self._look()
        return self.is_untried

    @property
    def is_untried(self) -> bool:
        """Whether the token that a call would carry now was not refused."""
        return bool(self.token.secret) and self._token.secret not in self._refused

    @property
    def was_refused(self) -> bool:
        """Whether any token was."""
        return bool(self._refused)

    @property
    def stands_in(self) -> bool:
        """Whether it is another token than the one that was meant, which was refused."""
        return bool(self._refused) and self.is_untried

    def _choose(self) -> Token:
        first = NO_TOKEN
        for token in self._found():
            if token.secret and token.secret not in self._refused:
                return token
            first = first if first.secret else token
        return first

    def _found(self) -> Iterator[Token]:
        yield from (find() for find in self._finds)
        if self._refused:
            yield from self._otherwise()


def _told_variables() -> tuple[str | None, ...]:
    return os.environ.get(TOKEN_FILE_VARIABLE), os.environ.get(TOKEN_VARIABLE)


def find_token(address: str, environ: Mapping[str, str] = os.environ) -> Token:
    """The token for the services at an address.

    It is in the file `RUNSTREAM_TOKEN_FILE`, else in `RUNSTREAM_TOKEN`, else what `runstream login` stored for this
    address, else that of a `runstream up` of this machine that has it.
    """
    named = Token(source=next((name for name in TOKEN_VARIABLES if environ.get(name)), ""))
    if (path := environ.get(TOKEN_FILE_VARIABLE)) and (secret := read_token_file(Path(path))):
        return Token(secret, TOKEN_FILE_VARIABLE)
    if secret := plain_token(environ.get(TOKEN_VARIABLE, "")):
        return Token(secret, TOKEN_VARIABLE)
    return named if named.source else _stored_token(address)


def read_token_file(path: Path) -> str:
    """The token in a file; empty: there is none that could be read."""
    try:
        with path.open("rb") as file:
            return plain_token(file.read(MAX_FILE_BYTES).decode("ascii", "replace"))
    except OSError:
        return ""


def plain_token(text: str) -> str:
    """A token without the blanks around it; empty: the text is none."""
    secret = text.strip()
    return secret if _TOKEN.fullmatch(secret) else ""


def _stored_token(address: str) -> Token:
    for source, (theirs, secret) in stored_tokens().items():
        if secret and _is_same(theirs, address):
            return Token(plain_token(secret), source)
    return NO_TOKEN


def _is_same(stored: str, address: str) -> bool:
    try:
        return parse_address(stored) == address
    except UserErrorException:
        return False
