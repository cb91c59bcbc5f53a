"""Stands between a client and an HTTP server, and notes what was asked and answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

_OF_CONNECTION = frozenset({"host", "connection", "transfer-encoding", "content-length"})


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    method: str
    path: str
    """Without the query."""

    status: int
    request: str
    answer: str

    @property
    def shape(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"


@dataclass
class Recorder:
    """Passes requests on."""

    server: str
    """Where to: scheme, host and port."""

    url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)

    async def pass_on(self, request: web.Request) -> web.Response:
        """Asks the server the same."""
        body, url = await request.read(), URL(self.server + request.raw_path, encoded=True)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, url, data=body, headers=_passed(request.headers), allow_redirects=False
            ) as answer,
        ):
            content = await answer.read()
        noted = Exchange(request.method, request.path, answer.status, _text(body), _text(content))
        self.exchanges.append(noted)
        return web.Response(status=answer.status, body=content, headers=_passed(answer.headers))


@asynccontextmanager
async def recording(url: str) -> AsyncIterator[Recorder]:
    """A recorder in front of the server of a URL."""
    parts = urlsplit(url)
    recorder = Recorder(f"{parts.scheme}://{parts.netloc}")
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{rest:.*}", recorder.pass_on)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        recorder.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield recorder
    finally:
        await runner.cleanup()


def _passed(headers: "aiohttp.typedefs.LooseHeaders") -> "list[tuple[str, str]]":
    return [(name, value) for name, value in headers.items() if name.lower() not in _OF_CONNECTION]  # type: ignore[union-attr]


def _text(body: bytes) -> str:
    return body[:2_000].decode("utf-8", "replace")
