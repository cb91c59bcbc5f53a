"""Stands between a server and Postgres, and cuts connections at chosen moments."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl, quote, urlsplit

_SOCKET = ".s.PGSQL.5432"


class Cut(Enum):
    """When to cut a connection that commits."""

    BEFORE_COMMIT = "Postgres does not get to see the COMMIT"
    AFTER_COMMIT = "Postgres has committed, and its answer is lost"


class PostgresProxy:
    """Passes on what both sides say, until it is told to cut."""

    def __init__(self, real: Path, dsn: str) -> None:
        self.dsn = dsn
        """Leads through the proxy."""
        self.cuts = 0
        """How many connections were cut."""
        self._real = real
        self._armed: Cut | None = None
        self._after = b""

    def cut(self, when: Cut, after: str) -> None:
        """Cuts the next connection that commits after it said `after`."""
        self._armed, self._after = when, after.encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        real_reader, real_writer = await asyncio.open_unix_connection(str(self._real))
        connection = _Connection(self, reader, writer, real_reader, real_writer)
        try:
            await connection.run()
        finally:
            for side in (writer, real_writer):
                side.close()
                with suppress(OSError):
                    await side.wait_closed()

    def wants_to_cut(self, said: bytes, saw: bool) -> Cut | None:
        """Whether to cut now: the connection commits, and said what was waited for."""
        if self._armed is not None and saw and b"COMMIT" in said:
            armed, self._armed = self._armed, None
            self.cuts += 1
            return armed
        return None

    def sees(self, said: bytes) -> bool:
        """Whether this is what the cut waits for."""
        return self._armed is not None and self._after in said


class _Connection:
    def __init__(
        self,
        proxy: PostgresProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        real_reader: asyncio.StreamReader,
        real_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client = reader, writer
        self._real = real_reader, real_writer
        self._saw = False
        self._dropping = False

    async def run(self) -> None:
        """Passes on both ways until one side ends, or the connection is cut."""
        ways = [asyncio.create_task(self._to_postgres()), asyncio.create_task(self._to_client())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    async def _to_postgres(self) -> None:
        while data := await self._client[0].read(65_536):
            self._saw = self._saw or self._proxy.sees(data)
            cut = self._proxy.wants_to_cut(data, self._saw)
            if cut is Cut.BEFORE_COMMIT:
                return
            self._dropping = cut is Cut.AFTER_COMMIT
            self._real[1].write(data)
            await self._real[1].drain()

    async def _to_client(self) -> None:
        while data := await self._real[0].read(65_536):
            if self._dropping:
                return
            self._client[1].write(data)
            await self._client[1].drain()


@asynccontextmanager
async def postgres_proxy(dsn: str) -> AsyncIterator[PostgresProxy]:
    """Opens a proxy to the database of `dsn`, which is reached by a socket in a folder."""
    parts = urlsplit(dsn)
    real = Path(dict(parse_qsl(parts.query))["host"]) / _SOCKET
    with TemporaryDirectory(prefix="proxy-") as folder:
        proxy = PostgresProxy(real, parts._replace(query=f"host={quote(folder, safe='')}").geturl())
        server = await asyncio.start_unix_server(proxy.serve, str(Path(folder) / _SOCKET))
        try:
            yield proxy
        finally:
            server.close()
