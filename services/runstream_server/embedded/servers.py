"""The servers that a backend brings along, started at the same time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from runstream_server.embedded.child import Child
from runstream_server.embedded.postgres import EmbeddedPostgres, run_postgres
from runstream_server.embedded.s3 import EmbeddedS3, run_s3

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Servers:
    """What runs; None where another server is used."""

    postgres: EmbeddedPostgres | None = None
    s3: EmbeddedS3 | None = None

    @property
    def children(self) -> list[Child]:
        """The processes."""
        return [server.child for server in (self.postgres, self.s3) if server]


@asynccontextmanager
async def run_servers(data: Path, *, logs: Path, postgres: bool, s3: bool) -> AsyncIterator[Servers]:
    """Runs the servers asked for, below the folder `data`, while the context is open.

    Raises:
        EmbeddedError: One cannot run; the other is stopped then.
    """
    async with AsyncExitStack() as stack:

        async def enter(context: AbstractAsyncContextManager[T], wanted: bool) -> T | None:
            return await stack.enter_async_context(context) if wanted else None

        try:
            async with asyncio.TaskGroup() as starting:
                database = starting.create_task(
                    enter(run_postgres(data / "postgres", log=logs / "postgres.log"), postgres)
                )
                store = starting.create_task(enter(run_s3(data / "s3", log=logs / "s3.log"), s3))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        yield Servers(postgres=database.result(), s3=store.result())
