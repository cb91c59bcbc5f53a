"""Which token the services are shown for a spool: a note of this user, named in the header of the spool.

    <state>/tokens/<note>       JSON {"address", "file", "token"}

It is not beside the spools, which may be brought elsewhere. Where a file gives the token, the note says which file, so
that a newer token in it counts; `token` is what counts without it.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

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


def note_token(address: str, run: str, environ: Mapping[str, str] = os.environ) -> str:
    """Notes which token this process shows to the services at `address` about a run; the name of the note.

    Empty: the environment names none, so what counts is what this user has stored by then; or it cannot be noted.
    """
    file, secret = environ.get(TOKEN_FILE_VARIABLE, ""), plain_token(environ.get(TOKEN_VARIABLE, ""))
    if address == OFFLINE or not (file or secret):
        return ""
    path = os.path.abspath(file) if file else ""  # noqa: PTH100
    try:
        return _write(_name(address, run, path, secret), address, path, secret)
    except OSError:
        return ""


def keep_token(address: str, run: str, file: Path) -> None:
    """Keeps the token of a file that is about to be removed, if a spool of this machine is to be carried up with it."""
    path, secret = str(file.absolute()), read_token_file(file)
    note = _name(address, run, path, secret)
    with suppress(OSError):
        if secret and any(_names(spool, note) for spool in spools_in(group_folder(address))):
            _write(note, address, path, secret)


def noted_token(note: str, address: str) -> Token:
    """The token of a note, if it is one for the services at `address`."""
    known = _read(note) if note else {}
    if known.get("address") != address:
        return NO_TOKEN
    if (file := str(known.get("file") or "")) and (secret := read_token_file(Path(file))):
        return Token(secret, TOKEN_FILE_VARIABLE)
    return Token(plain_token(str(known.get("token") or "")), TOKEN_FILE_VARIABLE if file else TOKEN_VARIABLE)


def later_tokens(address: str, run: str) -> Iterator[Token]:
    """The tokens that writers of a run's workspace came with, but for those of single runs: the last one first."""
    notes = tokens_folder().glob(f"{_of_workspace(address, run)}-*")
    for note in sorted(notes, key=_change_time, reverse=True)[:MAX_LATER]:
        token = noted_token(note.name, address)
        if token.secret:
            yield token


def forget_tokens(named: Iterable[str]) -> None:
    """Removes notes that are old and not among those `named`."""
    known, limit = set(named), time.time() - KEPT_SECONDS
    with suppress(OSError):
        for path in tokens_folder().iterdir():
            if path.name not in known and path.stat().st_mtime < limit:
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


def _write(name: str, address: str, file: str, secret: str) -> str:
    write_private(tokens_folder() / name, json.dumps({"address": address, "file": file, "token": secret}))
    return name


def _name(address: str, run: str, file: str, secret: str) -> str:
    """The same for the same token; what is for single runs begins otherwise."""
    given = f"file\n{file}" if file else f"token\n{secret}"
    name = f"{_of_workspace(address, run)}-{_digest(given)}"
    shown = read_token_file(Path(file)) if file else secret
    return f"run-{name}" if Token(shown).is_of_run else name


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


def _read(note: str) -> dict[str, Any]:
    try:
        known = json.loads((tokens_folder() / note).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
