"""The connections of a process to Postgres."""

import asyncio
import json
import logging
import socket
import sys
from asyncio.trsock import TransportSocket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from runstream_server.config import PostgresConfig
from runstream_server.errors import DatabaseUnavailable, LockTimedOut, StatementTimedOut

logger = logging.getLogger(__name__)

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
"""A connection inside a transaction."""

_ACQUIRE_SECONDS = 5.0
_COMMAND_SECONDS = 15.0
_ANSWER_SECONDS = 5.0
_SEND_BUFFER_BYTES = 1024 * 1024
_SETTINGS = {
    "application_name": "runstream",
    "timezone": "UTC",
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "4s",  # a process that is frozen in a transaction must not hold up others
}

_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,  # the disk is full, for example
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, in the middle of a failover
    asyncpg.PostgresSystemError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # among others, when Postgres ends a connection just as it is used again
    OSError,
    TimeoutError,
)


@contextmanager
def database_errors() -> Iterator[None]:
    """Turns trouble with the database, not with the statement, into DatabaseUnavailable."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise _unavailable(error) from error


def _unavailable(error: BaseException) -> DatabaseUnavailable:
    logger.warning("database unavailable", extra={"error": f"{type(error).__name__}: {error}"})
    if isinstance(error, (asyncpg.QueryCanceledError, TimeoutError)):
        return StatementTimedOut()
    if isinstance(error, asyncpg.LockNotAvailableError):
        return LockTimedOut()
    return DatabaseUnavailable()


class _Lent:
    """A connection while its context is open, with `database_errors` around it. Cheap: most statements use one."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def __aenter__(self) -> Connection:
        try:
            self._connection = await self._pool.acquire(timeout=_ACQUIRE_SECONDS)
        except _UNAVAILABLE as error:
            raise _unavailable(error) from error
        return self._connection

    async def __aexit__(self, _: object, error: BaseException | None, traceback: object) -> None:
        try:
            await self._pool.release(self._connection)
        except _UNAVAILABLE as failure:
            raise _unavailable(failure) from failure
        if isinstance(error, _UNAVAILABLE):
            raise _unavailable(error) from error


class Postgres:
    """A pool of connections. Every method raises DatabaseUnavailable when Postgres does not answer."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @property
    def size(self) -> int:
        """How many connections there may be."""
        return self._pool.get_max_size()

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lends a connection outside of a transaction."""
        return _Lent(self._pool)

    async def answers(self) -> bool:
        """Whether Postgres answers within a few seconds."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self.fetchval("SELECT true")
        except (DatabaseUnavailable, asyncpg.PostgresError, TimeoutError):
            return False
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lends a connection inside a transaction, committed when the context ends without an error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Runs one statement and returns its rows."""
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """Runs one statement and returns its first row."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """Runs one statement and returns the first value of its first row."""
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> str:
        """Runs one statement and returns its command tag, `UPDATE 3` for example."""
        async with self.connection() as connection:
            return await connection.execute(query, *arguments)


@asynccontextmanager
async def open_postgres(config: PostgresConfig) -> AsyncIterator[Postgres]:
    """Opens the pool and checks that Postgres keeps what it acknowledges."""
    with database_errors():
        pool = await asyncpg.create_pool(
            config.dsn,
            min_size=2,
            max_size=config.pool_size,
            command_timeout=_COMMAND_SECONDS,
            server_settings=_SETTINGS,
            init=_prepare,
            reset=_keep,
        )
    try:
        await _warn_of_lossy_settings(pool)
        yield Postgres(pool)
    finally:
        try:
            async with asyncio.timeout(_ACQUIRE_SECONDS):
                await pool.close()
        except (TimeoutError, *_UNAVAILABLE):
            pool.terminate()


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    # asyncpg waits for room to write without a deadline, also when the connection is lost or frozen meanwhile. So while
    # Postgres does not read, what one statement or COPY of a connection sends is in memory once more, for as long as
    # `_COMMAND_SECONDS`: a few MiB, as groups of appends, merges and messages are.
    transport = connection._transport  # type: ignore[attr-defined]
    transport.set_write_buffer_limits(high=sys.maxsize)
    _widen(transport.get_extra_info("socket"))
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


def _widen(connected: TransportSocket) -> None:
    """Lets more be on its way than the 208 KiB that are usual, and do not grow, between processes of one machine.

    A COPY needs a turn of the event loop for each of these. The system gives as much as it lets everybody have.
    """
    if connected.family == socket.AF_UNIX:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)


async def _keep(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Spares a round trip per use: no code changes the state of a session."""


async def _warn_of_lossy_settings(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        if await pool.fetchval("SELECT current_setting($1)", setting) == "off":
            logger.error(
                "Postgres may lose acknowledged writes: turn the setting on", extra={"setting": setting, "value": "off"}
            )
