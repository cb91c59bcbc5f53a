"""What happened to a spool on its way: lines of JSON beside it that the uplink appends and the writer reads."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from runstream._channel.tokens import TOKEN_REASONS


class Refusal(NamedTuple):
    """Values of one metric that were not stored."""

    metric: str
    reason: str
    """A word to branch on, `INVALID_NAME` for example."""
    message: str
    """What is wrong and what to do, for people."""
    value_count: int
    """How many values."""


class Stop(NamedTuple):
    """Why the uplink gave up on a spool."""

    reason: str
    message: str

    @property
    def is_denial(self) -> bool:
        """Whether it is for the token: with another one it goes on."""
        return self.reason in TOKEN_REASONS


class Warned(NamedTuple):
    """A warning that the run has."""

    text: str


Event = Refusal | Stop | Warned

_KINDS: dict[str, type[Event]] = {"refusal": Refusal, "stop": Stop, "warned": Warned}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def append_event(path: Path, event: Event) -> None:
    """Adds an event.

    Raises:
        OSError: The disk is full, for example.
    """
    line = json.dumps([_NAMES[type(event)], *event]) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


class EventReader:
    """The events of one spool, each handed out once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> list[Event]:
        """The events since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        return list(_decode(whole))


def last_stop(path: Path) -> Stop | None:
    """Why the uplink gave up on the spool of an events file, the last time; None: it never did."""
    return next((event for event in reversed(EventReader(path).read()) if isinstance(event, Stop)), None)


def _decode(lines: bytes) -> Iterator[Event]:
    for line in lines.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            kind, *fields = _load(line)
            yield _KINDS[kind](*fields)


def _load(line: bytes) -> list[Any]:
    return list(json.loads(line))
