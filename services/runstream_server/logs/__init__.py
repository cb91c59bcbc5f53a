"""The log service: stores log files while they grow, and hands them out again, live.

Invariants, besides those of `appendstreams`:
* A file belongs to the first writer that opens it. Its position is its size.
* The chunks of a file join on without gap or overlap from byte 0 to its size. Bytes are bytes: no encoding is assumed.
* A tail sends what is durable, each byte once and in order; its cursor is an offset, good on any replica.
"""

from pathlib import Path

from runstream_server.logs.mount import mount

MIGRATIONS = Path(__file__).parent / "migrations"

__all__ = ["MIGRATIONS", "mount"]
