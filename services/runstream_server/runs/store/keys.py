"""Reads `runs.signing_key`."""

from runstream_server.postgres import Postgres


async def signing_key(postgres: Postgres) -> bytes:
    """Returns the key that signs tokens, the same in all replicas and across restarts."""
    return bytes(await postgres.fetchval("SELECT key FROM runs.signing_key"))
