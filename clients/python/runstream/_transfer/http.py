"""HTTP to the bucket, in threads, by the standard library."""

import http.client
import socket
import ssl
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from runstream._channel.address import is_loopback
from runstream.exceptions import ServiceException

TIMEOUT_SECONDS: Final = 60.0
"""How long nothing may move."""
CONNECT_SECONDS: Final = 5.0
BLOCK_BYTES: Final = 512 * 1024
SENT_BYTES: Final = 4 * 1024 * 1024
"""Handed over at a time. More than a socket holds: the other side then finds it full whenever it reads, and reads more
at once. sendfile hands over 64 KiB at a time, which costs the other side more than it spares this one."""
TRANSIENT_STATUSES: Final = frozenset({403, 408, 425, 429, 500, 502, 503, 504})
"""403 is how a bucket says that a URL has expired."""
TRANSIENT_CODES: Final = frozenset({"RequestTimeout", "IncompleteBody"})
"""Words that come with status 400."""
MAX_ANSWER_BYTES: Final = 4_096


class TransferFailed(Exception):
    """A request did not succeed. The message has no URL in it, since whoever knows that can read what it leads to."""

    def __init__(self, message: str, *, transient: bool, code: str = "") -> None:
        super().__init__(message)
        self.transient = transient
        """Whether it may succeed with a new URL."""
        self.code = code
        """The bucket's word for what is wrong; empty: it gave none."""

    def told(self) -> Exception:
        """What a caller is to see of it in the end."""
        status = 503 if self.transient else 500
        return ServiceException(f"The transfer failed: {self}.", status_code=status, reason="TRANSFER_FAILED")


class Unreachable(TransferFailed):
    """Nobody could be connected to."""

    def __init__(self, message: str, host: "Host") -> None:
        super().__init__(message, transient=True)
        self.host = host

    def told(self) -> Exception:
        """Itself: there may be another way."""
        return self


class Body(Protocol):
    """The bytes of a request."""

    def read(self, count: int, /) -> bytes:
        """Up to that many more bytes; none: the end."""


class Host(NamedTuple):
    """Whom a connection is to."""

    scheme: str
    netloc: str


class Proxy(NamedTuple):
    """Who is in between."""

    address: str
    """Empty: nobody."""

    headers: dict[str, str]
    """Say who asks."""


class HttpClient:
    """Connections to the bucket, kept open from one request to the next. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Host, list[http.client.HTTPConnection]] = {}
        self._busy: set[http.client.HTTPConnection] = set()
        self._closed = False

    def put(self, url: str, headers: Mapping[str, str], size: int, body: Body) -> None:
        """Sends exactly `size` bytes.

        Raises:
            TransferFailed: The bucket did not take them.
        """
        with self._request(url) as (connection, target):
            connection.putrequest("PUT", target, skip_accept_encoding=True)
            for name, value in {**headers, **_proxy_headers(host_of(url)), "Content-Length": str(size)}.items():
                connection.putheader(name, value)
            connection.endheaders()
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had everything
                _send(connection, body)
            _check(connection.getresponse(), {200, 201, 204}).read()

    def get(
        self, url: str, headers: Mapping[str, str], start: int = 0, end: int | None = None
    ) -> Generator[tuple[int, memoryview], None, None]:
        """Reads from byte `start` up to but without `end`, and yields each block with its place.

        It is valid until the next one. Where only all bytes can be had, as when the headers ask for a range already,
        all of them come.

        Raises:
            TransferFailed: It broke off, or the bucket refused.
        """
        wanted = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        is_part = bool(wanted) and "Range" not in headers
        with self._request(url) as (connection, target):
            connection.request("GET", target, headers={**wanted, **headers, **_proxy_headers(host_of(url))})
            response = _check(connection.getresponse(), {200, 206})
            at = start if is_part and response.status == 206 else 0
            yield from _blocks(response, at)

    def close(self) -> None:
        """Closes all connections; requests under way fail."""
        with self._lock:
            self._closed = True
            idle = [connection for connections in self._idle.values() for connection in connections]
            self._idle.clear()
            for connection in self._busy:
                _break(connection)
        for connection in idle:
            connection.close()

    @contextmanager
    def _request(self, url: str) -> Iterator[tuple[http.client.HTTPConnection, str]]:
        parts, host = urlsplit(url), host_of(url)
        connection, target = self._take(host), _target(parts)
        try:
            if connection.sock is None:
                _reach(connection, host)
                self._check_open()
            yield connection, target
        except (OSError, http.client.HTTPException) as error:
            raise TransferFailed(f"{host.netloc}: {error or type(error).__name__}", transient=True) from None
        else:
            self._keep(host, connection)
        finally:
            self._drop(host, connection)

    def _take(self, host: Host) -> http.client.HTTPConnection:
        with self._lock:
            self._check_open()
            idle = self._idle.get(host)
            connection = idle.pop() if idle else _connect(host)
            self._busy.add(connection)
            return connection

    def _check_open(self) -> None:
        if self._closed:
            raise TransferFailed("the transfer was given up", transient=False)

    def _keep(self, host: Host, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed and connection.sock is not None:
                self._idle.setdefault(host, []).append(connection)

    def _drop(self, host: Host, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
            is_kept = connection in self._idle.get(host, ())
        if not is_kept:
            connection.close()


def _connect(host: Host) -> http.client.HTTPConnection:
    """A connection to a host, through the proxy that the environment names for it."""
    proxy = _proxy(host)
    first = proxy.address or host.netloc
    if host.scheme == "http":
        return http.client.HTTPConnection(first, timeout=TIMEOUT_SECONDS)
    connection = http.client.HTTPSConnection(first, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
    if proxy.address:
        connection.set_tunnel(host.netloc, headers=proxy.headers)
    return connection


def _reach(connection: http.client.HTTPConnection, host: Host) -> None:
    """Connects.

    Raises:
        Unreachable: Nobody answers.
    """
    connection.timeout = CONNECT_SECONDS
    try:
        connection.connect()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{host.netloc}: {error or type(error).__name__}", host) from None
    connection.sock.settimeout(TIMEOUT_SECONDS)


def _send(connection: http.client.HTTPConnection, body: Body) -> None:
    while block := body.read(SENT_BYTES):
        connection.send(block)


def _blocks(response: http.client.HTTPResponse, at: int) -> Generator[tuple[int, memoryview], None, None]:
    buffer = memoryview(bytearray(BLOCK_BYTES))
    while count := response.readinto(buffer):
        yield at, buffer[:count]
        at += count
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _proxy(host: Host) -> Proxy:
    if is_loopback(host.netloc) or urllib.request.proxy_bypass(host.netloc):
        return Proxy("", {})
    url = urllib.request.getproxies().get(host.scheme, "")
    user, at, address = urlsplit(url if "://" in url else f"//{url}").netloc.rpartition("@")
    if not at:
        return Proxy(address, {})
    return Proxy(address, {"Proxy-Authorization": f"Basic {b64encode(unquote(user).encode()).decode()}"})


def host_of(url: str) -> Host:
    """Whom a URL is of."""
    parts = urlsplit(url)
    return Host(parts.scheme, parts.netloc)


def _proxy_headers(host: Host) -> dict[str, str]:
    """What a request says to a proxy in between; one that does not look inside was told at the tunnel."""
    return _proxy(host).headers if host.scheme == "http" else {}


def _target(url: SplitResult) -> str:
    """What the request line names: with a proxy in between that does not look inside, the whole URL."""
    if url.scheme == "http" and _proxy(Host(url.scheme, url.netloc)).address:
        return url.geturl()
    return url._replace(scheme="", netloc="").geturl() or "/"


def _check(response: http.client.HTTPResponse, wanted: set[int]) -> http.client.HTTPResponse:
    if response.status in wanted:
        return response
    code = _code(response.read(MAX_ANSWER_BYTES).decode(errors="replace"))
    answer = f"{response.status} {code or response.reason}"
    is_transient = response.status in TRANSIENT_STATUSES or code in TRANSIENT_CODES
    raise TransferFailed(f"the bucket answers {answer}", transient=is_transient, code=code)


def _code(answer: str) -> str:
    """The word in the XML of an answer that says what is wrong."""
    start, end = answer.find("<Code>"), answer.find("</Code>")
    return answer[start + 6 : end] if 0 <= start < end else ""


def _break(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
