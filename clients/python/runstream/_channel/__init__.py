"""How the client reaches the services: the address, one connection per process, calls with deadlines and retries.

A channel is never used across a fork. Importing this package imports no grpc; the first call does. Its modules are
imported when they are used, so that a program that only needs the address starts quickly.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runstream._channel.address import find_address
    from runstream._channel.connection import Connection

__all__ = ["Connection", "find_address"]


def __getattr__(name: str) -> Any:
    if name == "Connection":
        from runstream._channel.connection import Connection

        return Connection
    if name == "find_address":
        from runstream._channel.address import find_address

        return find_address
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
