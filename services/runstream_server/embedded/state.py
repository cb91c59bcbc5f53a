"""Tells other processes of this user that a backend runs, and where."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where clients look for `up.json`: `RUNSTREAM_STATE_DIR`, or a folder usual for the platform."""
    chosen = environment.get("RUNSTREAM_STATE_DIR")
    return Path(chosen) if chosen else platformdirs.user_state_path("runstream")


@contextmanager
def announced(state: Mapping[str, object], *paths: Path) -> Iterator[None]:
    """Keeps the state in files while the context is open; leaves what another process put there meanwhile."""
    for path in paths:
        _write(path, state)
    try:
        yield
    finally:
        for path in paths:
            if read_state(path).get("pid") == os.getpid():
                path.unlink(missing_ok=True)


def read_state(path: Path) -> Mapping[str, Any]:
    """What a process told; empty if there is nothing to read."""
    with suppress(OSError, ValueError):
        state = json.loads(path.read_text(encoding="utf-8"))
        return state if isinstance(state, dict) else {}
    return {}


def _write(path: Path, state: Mapping[str, object]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.touch(0o600, exist_ok=False)  # it may hold a token
    new.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    new.replace(path)
