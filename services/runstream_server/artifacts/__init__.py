"""The artifact service: keeps the files of runs. Bytes are kept once per content, in the bucket.

Invariants:
* What is at `blobs/sha256/...` was hashed where no client can write, and is never changed.
* A workspace has a blob only after somebody of it sent the bytes: a digest is no key to the bytes of others.
* A path of a run stays bound to its blob. Binding several paths binds all of them or none.
"""

from pathlib import Path

from runstream_server.artifacts.mount import mount

MIGRATIONS = Path(__file__).parent / "migrations"

__all__ = ["MIGRATIONS", "mount"]
