"""Which token the services are shown for a spool: a note of this user, named in the header of the spool.

    <state>/tokens/<note>       JSON {"address", "spools", "file", "token"}

It is not beside the spools, which may be brought elsewhere; `spools` is the root of their folders. Where a file gives
the token, the note says which file, so that a newer token in it counts; `token` is what counts without it.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from runstream._channel.address import OFFLINE, state_folder
from runstream._channel.private import write_private
from runstream._channel.tokens import (
    NO_TOKEN,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    Token,
    plain_token,
    read_token_file,
)
from runstream._spool.format import HEADER_BYTES, SpoolDamaged, decode_header
from runstream._spool.places import can_make, group_folder, make_private, spools_in

FOLDER: Final = "tokens"
KEPT_SECONDS: Final = 24 * 3_600.0
"""How long a note is kept that no spool names."""
MAX_LATER: Final = 20
_DIGITS: Final = 16


def note_token(group: Path, address: str, run: str, environ: Mapping[str, str] = os.environ) -> str:
    """Notes which token this process shows to the services at `address` about a run; the name of the note.

    Empty: the environment names none, so what counts is what this user has stored by then; or it cannot be noted.
    """
    file, secret = environ.get(TOKEN_FILE_VARIABLE, ""), plain_token(environ.get(TOKEN_VARIABLE, ""))
    if address == OFFLINE or not (file or secret):
        return ""
    note = _Note(address, str(group.parent), os.path.abspath(file) if file else "", secret)  # noqa: PTH100
    try:
        return note.write(run)
    except OSError:
        return ""


def keep_token(address: str, run: str, file: Path) -> None:
    """Keeps the token of a file that is about to be removed, if a spool of this machine is to be carried up with it."""
    with suppress(OSError):
        group, secret = group_folder(address), read_token_file(file)
        note = _Note(address, str(group.parent), str(file.absolute()), secret)
        if secret and any(_names(spool, note.name(run)) for spool in spools_in(group)):
            note.write(run)


def noted_token(name: str, address: str) -> Token:
    """The token of a note, if it is one for the services at `address`."""
    note = _read(name) if name else None
    if note is None or note.address != address:
        return NO_TOKEN
    if note.file and (secret := read_token_file(Path(note.file))):
        return Token(secret, TOKEN_FILE_VARIABLE)
    return Token(plain_token(note.token), TOKEN_FILE_VARIABLE if note.file else TOKEN_VARIABLE)


def later_tokens(address: str, run: str) -> Iterator[Token]:
    """The tokens that writers of a run's workspace came with, but for those of single runs: the last one first."""
    found: list[Path] = []
    with suppress(OSError):
        found = list(tokens_folder().glob(f"{_of_workspace(address, run)}-*"))
    for path in sorted(found, key=_change_time, reverse=True)[:MAX_LATER]:
        token = noted_token(path.name, address)
        if token.secret:
            yield token


def forget_tokens(root: Path, named: Iterable[str]) -> None:
    """Removes old notes of spools below a root, but for those `named`, and of those whose root is gone."""
    known, limit = set(named), time.time() - KEPT_SECONDS
    with suppress(OSError):
        for path in tokens_folder().iterdir():
            if path.name not in known and path.stat().st_mtime < limit and _is_over(path.name, root):
                path.unlink(missing_ok=True)


def tokens_folder() -> Path:
    """Where the notes are.

    Raises:
        OSError: There is no place for them that belongs to this user alone.
    """
    usual = state_folder().absolute() / FOLDER
    if can_make(usual):
        return usual
    return make_private(make_private(Path(tempfile.gettempdir()) / f"runstream-{os.getuid()}") / FOLDER)


class _Note(NamedTuple):
    address: str
    spools: str
    file: str
    token: str

    def write(self, run: str) -> str:
        """Writes the note for a run; its name."""
        name = self.name(run)
        write_private(tokens_folder() / name, json.dumps(self._asdict()))
        return name

    def name(self, run: str) -> str:
        """The same for the same token; what is for single runs begins otherwise."""
        given = f"file\n{self.file}" if self.file else f"token\n{self.token}"
        name = f"{_of_workspace(self.address, run)}-{_digest(f'{self.spools} {given}')}"
        shown = read_token_file(Path(self.file)) if self.file else self.token
        return f"run-{name}" if Token(shown).is_of_run else name


def _is_over(name: str, root: Path) -> bool:
    note = _read(name)
    return note is None or note.spools == str(root) or not Path(note.spools).is_dir()


def _of_workspace(address: str, run: str) -> str:
    workspace = run.partition("/runs/")[0]
    return _digest(f"{address}\n{workspace}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _change_time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _names(spool: Path, note: str) -> bool:
    try:
        with spool.open("rb") as file:
            return decode_header(file.read(HEADER_BYTES)).token == note
    except (OSError, SpoolDamaged):
        return False


def _read(name: str) -> _Note | None:
    try:
        return _Note(**json.loads((tokens_folder() / name).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
