"""Stands between clients and the bucket, and answers as buckets do in their worst moments."""

import http.client
import http.server
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Final, TypeAlias
from urllib.parse import urlsplit

BLOCK_BYTES: Final = 65_536
SLOW_SECONDS: Final = 0.5


class Trouble(Enum):
    """What happens to a request."""

    SLOW_DOWN = "503 SlowDown, without asking the bucket"
    ERROR = "500 InternalError, without asking the bucket"
    FORBIDDEN = "403, as for a URL that has expired"
    TRUNCATED = "the answer ends in its middle"
    RESET = "the connection is reset in the middle of the answer"
    SLOW = "the answer comes after a while"
    SKEWED = "403 RequestTimeTooSkewed, as when the clock of who asks is wrong"
    GONE = "the connection is closed without a word"
    LOST = "the bucket has done it, and its answer is lost"
    STUCK = "nothing is answered until the proxy is released"


ANSWERS: Final = {
    Trouble.SLOW_DOWN: (503, "SlowDown"),
    Trouble.ERROR: (500, "InternalError"),
    Trouble.FORBIDDEN: (403, "AccessDenied"),
    Trouble.SKEWED: (403, "RequestTimeTooSkewed"),
}


Answer: TypeAlias = tuple[int, bytes, Mapping[str, str]]
PASSED: Final = ("Content-Length", "Content-Range", "Content-Type", "ETag", "Last-Modified")


class BucketProxy:
    """Passes requests on; those in `troubles` come first, one for each request, None for a request without any."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = ""
        """Where to ask."""
        self.troubles: deque[Trouble | None] = deque()
        self.chance: Callable[[], Trouble | None] = lambda: None
        """What happens to requests when `troubles` are used up."""
        self.requests: list[str] = []
        """The method and path of each request, without its query."""
        self.sent_bytes = 0
        """Bytes of bodies that clients sent."""
        self.slow_seconds = SLOW_SECONDS
        """How much later a slow answer comes."""
        self.answered: list[tuple[float, str]] = []
        """When, in seconds since the Unix epoch, requests were answered as the bucket did; as in `requests`."""
        self.released = threading.Event()
        """Set when requests that are stuck are to go on."""
        self._target = urlsplit(endpoint)
        self._changed = threading.Condition()

    def begin(self, method: str, path: str, size: int) -> Trouble | None:
        """Takes note of a request, and says what is to happen to it."""
        with self._changed:
            self._changed.notify_all()
            self.requests.append(f"{method} {urlsplit(path).path}")
            self.sent_bytes += size
            return self.troubles.popleft() if self.troubles else self.chance()

    def await_requests(self, count: int, seconds: float = 60) -> None:
        """Returns when there have been so many requests."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, seconds)

    def ask(self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """What the bucket answers: status, body and headers."""
        connection = http.client.HTTPConnection(self._target.netloc)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            content = response.read()
            return response.status, content, {name: response.getheader(name, "") for name in PASSED}
        finally:
            connection.close()


class _Server(http.server.ThreadingHTTPServer):
    proxy: BucketProxy
    daemon_threads = True


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass_on()

    def do_PUT(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        self._pass_on()

    def do_HEAD(self) -> None:
        self._pass_on()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""

    def _pass_on(self) -> None:
        assert isinstance(self.server, _Server)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        trouble = self.server.proxy.begin(self.command, self.path, len(body))
        if trouble in ANSWERS:
            status, code = ANSWERS[trouble]
            self._answer(status, f"<Error><Code>{code}</Code></Error>".encode(), {})
            return
        if trouble is Trouble.GONE:
            self.close_connection = True
            return
        if trouble is Trouble.STUCK:
            self.server.proxy.released.wait()
        status, answer, headers = self.server.proxy.ask(self.command, self.path, self.headers.items(), body)
        if trouble is Trouble.LOST:
            self.close_connection = True
            return
        if trouble is Trouble.SLOW:
            threading.Event().wait(self.server.proxy.slow_seconds)
        if trouble in (None, Trouble.SLOW):
            self.server.proxy.answered.append((time.time(), f"{self.command} {urlsplit(self.path).path}"))
        is_cut = trouble in (Trouble.TRUNCATED, Trouble.RESET)
        self._answer(status, answer, headers, len(answer) // 2 if is_cut else None)
        if trouble is Trouble.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):  # who asked may have left
                self.wfile.write(body[:cut])
        self.close_connection = self.close_connection or cut is not None


@contextmanager
def bucket_proxy(endpoint: str) -> Iterator[BucketProxy]:
    """Opens a proxy to the bucket at an endpoint."""
    proxy = BucketProxy(endpoint)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.proxy = proxy
    proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
