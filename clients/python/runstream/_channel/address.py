"""Finds the address of the services."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from runstream._channel.private import write_private
from runstream.exceptions import UserErrorException

ADDRESS_VARIABLE = "RUNSTREAM_ADDRESS"
STATE_VARIABLE = "RUNSTREAM_STATE_DIR"
MODE_VARIABLE = "RUNSTREAM_MODE"
OFFLINE = "offline"
"""The value of `RUNSTREAM_MODE`, and the address in offline mode: nothing is sent, `runstream sync` does that later."""

LOGIN_FILE = "login.json"
UP_FILE = "up.json"

REMEDY = "start `runstream up` on this machine, set RUNSTREAM_ADDRESS to host:port, or use `runstream login`"
_SCHEMES = {"": False, "http": False, "grpc": False, "https": True, "grpcs": True}
"""Schemes of addresses, and whether they mean TLS."""
SECURE_SCHEME = "grpcs://"
"""What an address begins with at which the services speak TLS."""


def state_folder() -> Path:
    """Where this user's `up.json` and `login.json` are: `RUNSTREAM_STATE_DIR`, or a folder usual for the platform."""
    chosen = os.environ.get(STATE_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_state_path("runstream")


def is_offline() -> bool:
    """Whether `RUNSTREAM_MODE` says that this process is offline.

    Raises:
        UserErrorException: It says something that is not known.
    """
    mode = os.environ.get(MODE_VARIABLE, "").strip().lower()
    if mode not in ("", "online", OFFLINE):
        raise UserErrorException(f"{MODE_VARIABLE} is online or offline, not {mode!r}.", reason="INVALID_MODE")
    return mode == OFFLINE


def find_address() -> str:
    """The address of the services as `parse_address` gives it; `offline` in offline mode.

    It is `RUNSTREAM_ADDRESS`, else what `runstream login` stored, else that of a `runstream up` on this machine.

    Raises:
        UserErrorException: None of them gives an address, or it is not `host:port`.
    """
    return OFFLINE if is_offline() else find_address_and_source()[0]


def find_address_and_source() -> tuple[str, str]:
    """As `find_address`, with what gave the address: `RUNSTREAM_ADDRESS`, `runstream login` or `runstream up`.

    Raises:
        UserErrorException: As `find_address`.
    """
    sources = {
        ADDRESS_VARIABLE: os.environ.get(ADDRESS_VARIABLE, ""),
        "runstream login": _login_address(),
        "runstream up": _running_address(),
    }
    for source, address in sources.items():
        if address:
            return parse_address(address), source
    offline = f"{MODE_VARIABLE}={OFFLINE} records without them"
    raise UserErrorException(f"No Runstream services found: {REMEDY}. {offline}.", reason="NO_ADDRESS")


def store_login(address: str, token: str = "") -> Path:
    """Has `find_address` of this user give `address` from now on, and calls to it carry `token`.

    Returns:
        The file that says so, which only this user can read.
    """
    file = state_folder() / LOGIN_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, json.dumps({"address": address, **({"token": token} if token else {})}))
    return file


def forget_login() -> bool:
    """Undoes `store_login`; returns whether there was anything to undo."""
    with suppress(FileNotFoundError):
        (state_folder() / LOGIN_FILE).unlink()
        return True
    return False


def parse_address(text: str) -> str:
    """`text` as `host:port`, or as `grpcs://host:port` where the services speak TLS, which `https://` says as well.

    A scheme `http://` or `grpc://` and a trailing slash are dropped.

    Raises:
        UserErrorException: It has no host, or no port from 1 to 65535.
    """
    scheme, separator, rest = text.strip().rpartition("://")
    bare = rest.rstrip("/")
    host, _, port = bare.rpartition(":")
    is_wrong = scheme.lower() not in _SCHEMES or (separator and not scheme)
    if is_wrong or not host or not port.isdecimal() or not 0 < int(port) < 65536 or any(c in bare for c in "/@ "):
        message = f"{text!r} is not an address: write host:port, or {SECURE_SCHEME}host:port for TLS."
        raise UserErrorException(message, reason="INVALID_ADDRESS")
    return f"{SECURE_SCHEME}{bare}" if _SCHEMES[scheme.lower()] else bare


def is_secure(address: str) -> bool:
    """Whether the services at `address` speak TLS."""
    return address.startswith(SECURE_SCHEME)


def host_and_port(address: str) -> str:
    """`address` without a scheme."""
    return address.removeprefix(SECURE_SCHEME)


def url_of(address: str) -> str:
    """`address` as programs for the web write it."""
    return f"{'https' if is_secure(address) else 'http'}://{host_and_port(address)}"


def is_loopback(address: str) -> bool:
    """Whether `address` is on this machine."""
    host = host_and_port(address).rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")


def stored_tokens() -> dict[str, tuple[str, str]]:
    """What `runstream login` and a `runstream up` of this machine say, by these words: an address, and its token."""
    return {"runstream login": _address_and_token(_read_state(LOGIN_FILE)), "runstream up": _of_running_one()}


def _login_address() -> str:
    return _address_and_token(_read_state(LOGIN_FILE))[0]


def _running_address() -> str:
    return _of_running_one()[0]


def _of_running_one() -> tuple[str, str]:
    state = _read_state(UP_FILE)
    return _address_and_token(state) if _is_alive(state.get("pid")) else ("", "")


def _address_and_token(state: dict[str, Any]) -> tuple[str, str]:
    return str(state.get("address") or ""), str(state.get("token") or "")


def _read_state(name: str) -> dict[str, Any]:
    try:
        state = json.loads((state_folder() / name).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
