"""Which port a backend serves on."""

import socket
from contextlib import suppress
from pathlib import Path

from runstream_server.config import ServerConfig

HOST = "127.0.0.1"


def choose_port(asked: int | None, mark: Path, usual: int = ServerConfig.port) -> int:
    """The port asked for; else, of those that are free, the one noted in `mark` or the usual one; else 0, any.

    Clients that are still busy with an earlier backend on the folder look for it on the port it had.
    """
    if asked is not None:
        return asked
    return next((port for port in (*_noted(mark), usual) if _is_free(port)), 0)


def note_port(port: int, mark: Path) -> None:
    """Notes the port for the next start."""
    mark.write_text(f"{port}\n")


def _noted(mark: Path) -> list[int]:
    with suppress(OSError, ValueError):
        return [int(mark.read_text())]
    return []


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True
