"""Migrations: plain SQL files per service, forward only, applied once each under a lock."""

import asyncio
import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from runstream_server.errors import ConfigurationError

logger = logging.getLogger(__name__)

_LOCK = 0x52_75_6E_73_74_72_65_61  # "Runstrea"
_LOCK_TIMEOUT_SECONDS = 2
_TRIES = 15
_FILE = re.compile(r"(\d{4})_\w+\.sql")
_OUTSIDE_TRANSACTION = "-- no-transaction"

_TABLE = """
CREATE SCHEMA IF NOT EXISTS runstream;
CREATE TABLE IF NOT EXISTS runstream.migration (
    service    text        NOT NULL,
    version    integer     NOT NULL,
    sha256     text        NOT NULL,
    apply_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, version)
)
"""


@dataclass(frozen=True)
class Migration:
    """One step of the schema of one service."""

    service: str
    version: int
    sql: str

    @property
    def sha256(self) -> str:
        """Tells whether an applied file was changed since."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(service: str, folder: Path) -> Sequence[Migration]:
    """Reads the migrations of a service in order; a file whose name has another form is an error."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise ConfigurationError(str(path), "a migration is named NNNN_what_it_does.sql")
        migrations.append(Migration(service, int(match[1]), path.read_text(encoding="utf-8")))
    return migrations


async def migrate(dsn: str, folders: Mapping[str, Path]) -> int:
    """Applies what is missing of each service's migrations; returns how many that were.

    Safe from any number of processes at once: one applies, the others wait and find nothing to do.

    Raises:
        ConfigurationError: An applied file was changed since.
    """
    connection = await asyncpg.connect(dsn, server_settings={"application_name": "runstream migrate"})
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT_SECONDS}s'")
        await connection.execute(_TABLE)
        missing = [each for service, folder in folders.items() for each in await _missing(connection, service, folder)]
        for migration in missing:
            await _apply_patiently(connection, migration)
        return len(missing)
    finally:
        await connection.close()


async def _missing(connection: "asyncpg.Connection[asyncpg.Record]", service: str, folder: Path) -> Sequence[Migration]:
    rows = await connection.fetch("SELECT version, sha256 FROM runstream.migration WHERE service = $1", service)
    applied = {row["version"]: row["sha256"] for row in rows}
    migrations = read_migrations(service, folder)
    for migration in migrations:
        if applied.get(migration.version, migration.sha256) != migration.sha256:
            raise ConfigurationError(
                f"{service} migration {migration.version:04d}",
                "the file was changed after it had been applied; restore it and add a new one",
            )
    return [migration for migration in migrations if migration.version not in applied]


async def _apply_patiently(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    for attempt in range(1, _TRIES + 1):
        try:
            await _apply(connection, migration)
        except asyncpg.LockNotAvailableError:
            if attempt == _TRIES:
                raise
            await asyncio.sleep(attempt * 0.2)  # lets the holder of the lock, and those queued behind us, go on
        else:
            logger.info("migration applied", extra={"service": migration.service, "version": migration.version})
            return


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    if migration.sql.startswith(_OUTSIDE_TRANSACTION):
        await connection.execute(migration.sql)
        await _record(connection, migration)
        return
    async with connection.transaction():
        await connection.execute(migration.sql)
        await _record(connection, migration)


async def _record(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO runstream.migration (service, version, sha256) VALUES ($1, $2, $3)",
        migration.service,
        migration.version,
        migration.sha256,
    )
