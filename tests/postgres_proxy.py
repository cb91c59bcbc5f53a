"""Stands between a server and Postgres, and cuts connections at chosen moments."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl, quote, urlsplit

from tests.relayed import sides, until_one_ends

_SOCKET = ".s.PGSQL.5432"
_COPY_DONE = b"c\0\0\0\4"


class Cut(Enum):
    """When to cut a connection on which something was said that is waited for."""

    BEFORE_DATA = "Postgres does not get to see what was waited for"
    WITHIN_DATA = "Postgres gets half of what is said next"
    AFTER_DATA = "Postgres has taken in rows, and does not get to see what is said next"
    BEFORE_COMMIT = "Postgres does not get to see the COMMIT"
    AFTER_COMMIT = "Postgres has committed, and its answer is lost"


@dataclass(eq=False)
class _Order:
    cut: Cut
    after: bytes
    hold: bool
    done: asyncio.Event = field(default_factory=asyncio.Event)


class PostgresProxy:
    """Passes on what both sides say, until it is told to cut."""

    def __init__(self, real: Path, dsn: str) -> None:
        self.dsn = dsn
        """Leads through the proxy."""
        self.cuts = 0
        """How many connections were cut."""
        self.order: _Order | None = None
        """What is to be cut next."""
        self._real = real
        self._done = asyncio.Event()

    def cut(self, when: Cut, after: str, *, hold: bool = False) -> None:
        """Cuts the next connection that comes to a moment after it said `after`.

        To hold is to leave it open on both sides, and to pass nothing on any more: what is about to be killed does not
        notice.
        """
        self.order = _Order(when, after.encode(), hold)
        self._done = self.order.done

    async def has_cut(self) -> None:
        """Waits until what was ordered last is done."""
        await self._done.wait()

    def take_order(self, order: _Order) -> None:
        """Takes note that a connection carries out the order; one that loses an answer waits for it first."""
        self.order = None
        self.cuts += 1
        if order.cut is not Cut.AFTER_COMMIT:
            order.done.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection; while Postgres is away it is closed at once."""
        async with sides() as opened:
            opened.append(writer)
            real_reader, real_writer = await asyncio.open_unix_connection(str(self._real))
            opened.append(real_writer)
            await _Connection(self, reader, writer, real_reader, real_writer).run()


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
        self._seen: _Order | None = None
        self._copied = False
        self._dropping: _Order | None = None

    async def run(self) -> None:
        """Passes on both ways until one side ends, or the connection is cut."""
        await until_one_ends(self._to_postgres(), self._to_client())

    async def _to_postgres(self) -> None:
        while data := await self._client[0].read(65_536):
            order = self._proxy.order
            cut = order.cut if order is not None and order.cut in self._moments(order, data) else None
            if cut is not None and order is not None:
                self._proxy.take_order(order)
            if order is not None and cut is not None and cut is not Cut.AFTER_COMMIT:
                self._real[1].write(data[: len(data) // 2] if cut is Cut.WITHIN_DATA else b"")
                await self._real[1].drain()
                if order.hold:
                    await self._swallow()
                return
            if cut is Cut.AFTER_COMMIT:
                self._dropping = order
            self._real[1].write(data)
            await self._real[1].drain()

    async def _swallow(self) -> None:
        while await self._client[0].read(65_536):
            pass

    def _moments(self, order: _Order, said: bytes) -> set[Cut]:
        """What of the order this would be the moment for."""
        moments: set[Cut] = set()
        if self._seen is order:
            moments.add(Cut.WITHIN_DATA)
            if self._copied:
                moments.add(Cut.AFTER_DATA)
        elif order.after in said:
            self._seen, self._copied = order, False
            moments.add(Cut.BEFORE_DATA)
        if self._seen is order and b"COMMIT" in said:
            moments |= {Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT}
        self._copied = self._copied or said.endswith(_COPY_DONE)
        return moments

    async def _to_client(self) -> None:
        while data := await self._real[0].read(65_536):
            if self._dropping is not None:
                self._dropping.done.set()
                if self._dropping.hold:
                    continue
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
