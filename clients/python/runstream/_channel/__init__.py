"""How the client reaches the services: the address, one connection per process, calls with deadlines and retries.

A channel is never used across a fork. Importing this package imports no grpc; the first call does.
"""

from runstream._channel.address import find_address
from runstream._channel.connection import Connection

__all__ = ["Connection", "find_address"]
