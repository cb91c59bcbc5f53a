"""Prometheus metrics per rpc and per stream."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from runstream_server.errors import ConfigurationError

logger = logging.getLogger(__name__)

_SECONDS = Histogram(
    "runstream_rpc_seconds",
    "How long calls took, streams included.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600),
)
_HTTP_SECONDS = Histogram("runstream_http_seconds", "How long requests took.", ["method", "route"])
_HTTP_HANDLED = Counter("runstream_http_handled_total", "Requests that ended.", ["method", "route", "status"])
_HANDLED = Counter("runstream_rpc_handled_total", "Calls that ended, by status code.", ["method", "code"])
_OPEN = Gauge("runstream_rpc_open", "Calls that are open.", ["method"])
_MESSAGES = Counter("runstream_stream_messages_total", "Messages of streams.", ["method", "direction"])


class RpcMetrics:
    """The metrics of one method."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._seconds = _SECONDS.labels(method)
        self._open = _OPEN.labels(method)
        self._received = _MESSAGES.labels(method, "received")
        self._sent = _MESSAGES.labels(method, "sent")
        self._handled: dict[grpc.StatusCode, Counter] = {}

    def started(self) -> None:
        """Counts a call that begins."""
        self._open.inc()

    def ended(self, code: grpc.StatusCode, seconds: float) -> None:
        """Counts a call that ended."""
        self._open.dec()
        self._seconds.observe(seconds)
        if code not in self._handled:
            self._handled[code] = _HANDLED.labels(self._method, code.name)
        self._handled[code].inc()

    def received(self) -> None:
        """Counts a message of the request stream."""
        self._received.inc()

    def sent(self) -> None:
        """Counts a message of the response stream."""
        self._sent.inc()


class HttpMetrics:
    """The metrics of one method and one route of HTTP."""

    def __init__(self, method: str, route: str) -> None:
        self._labels = method, route

    def ended(self, status: int, seconds: float) -> None:
        """Counts a request that was answered, or given up by its client."""
        _HTTP_SECONDS.labels(*self._labels).observe(seconds)
        _HTTP_HANDLED.labels(*self._labels, str(status)).inc()


@contextmanager
def serving_metrics(port: int) -> Iterator[int]:
    """Lets Prometheus get the metrics at `/metrics` of a loopback port, a free one for 0, while the context is open.

    Raises:
        ConfigurationError: The port is taken.
    """
    try:
        server, thread = start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise ConfigurationError("RUNSTREAM_METRICS_PORT", f"port {port}: {error.strerror}") from error
    logger.info("serving metrics", extra={"port": server.server_port})
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
