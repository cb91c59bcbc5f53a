"""Stands between clients and the bucket, and answers as buckets do in their worst moments."""

import http.client
import http.server
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

BLOCK_BYTES: Final = 65_536


class Trouble(Enum):
    """What happens to a request."""

    SLOW_DOWN = "503 SlowDown, without asking the bucket"
    ERROR = "500 InternalError, without asking the bucket"
    FORBIDDEN = "403, as for a URL that has expired"
    TRUNCATED = "the answer ends in its middle"
    LOST = "the bucket has done it, and its answer is lost"


ANSWERS: Final = {
    Trouble.SLOW_DOWN: (503, "SlowDown"),
    Trouble.ERROR: (500, "InternalError"),
    Trouble.FORBIDDEN: (403, "AccessDenied"),
}


class BucketProxy:
    """Passes requests on; those in `troubles` come first, one for each request, None for a request without any."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = ""
        """Where to ask."""
        self.troubles: deque[Trouble | None] = deque()
        self.requests: list[str] = []
        """The method and path of each request, without its query."""
        self.sent_bytes = 0
        """Bytes of bodies that clients sent."""
        self._target = urlsplit(endpoint)
        self._lock = threading.Lock()

    def begin(self, method: str, path: str, size: int) -> Trouble | None:
        """Takes note of a request, and says what is to happen to it."""
        with self._lock:
            self.requests.append(f"{method} {urlsplit(path).path}")
            self.sent_bytes += size
            return self.troubles.popleft() if self.troubles else None

    def ask(self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> tuple[int, bytes, str]:
        """What the bucket answers: status, body and value of Content-Range."""
        connection = http.client.HTTPConnection(self._target.netloc)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, response.read(), response.getheader("Content-Range", "")
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

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""

    def _pass_on(self) -> None:
        assert isinstance(self.server, _Server)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        trouble = self.server.proxy.begin(self.command, self.path, len(body))
        if trouble in ANSWERS:
            status, code = ANSWERS[trouble]
            self._answer(status, f"<Error><Code>{code}</Code></Error>".encode())
            return
        status, answer, content_range = self.server.proxy.ask(self.command, self.path, self.headers.items(), body)
        if trouble is Trouble.LOST:
            self.close_connection = True
            return
        self._answer(status, answer, content_range, len(answer) // 2 if trouble is Trouble.TRUNCATED else None)

    def _answer(self, status: int, body: bytes, content_range: str = "", cut: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
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
        server.shutdown()
        thread.join()
        server.server_close()
