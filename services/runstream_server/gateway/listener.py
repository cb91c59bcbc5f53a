"""The port of the gateway, bound before anything else so that the services can tell clients where it is."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from runstream_server.config import Config
from runstream_server.errors import ConfigurationError
from runstream_server.gateway_config import GatewayConfig
from runstream_server.rpc.tls import server_context

_EVERYWHERE = ("0.0.0.0", "::", "[::]", "")  # noqa: S104 - what it is called here, not bound


@dataclass(frozen=True)
class Listener:
    """A bound port."""

    socket: socket.socket

    tls: ssl.SSLContext | None
    """None: it speaks HTTP as it is."""

    settings: GatewayConfig
    """With the port that is bound, and the URL where that is known."""


@contextmanager
def listening(config: Config) -> Iterator[Listener]:
    """Binds the port while the context is open; raises ConfigurationError if it is taken."""
    server, tls = config.server, config.server.tls
    with _bound(server.host, config.gateway.port, share=server.share_port) as bound:
        port = bound.getsockname()[1]
        scheme = "https" if tls else "http"
        url = config.gateway.url or ("" if server.host in _EVERYWHERE else f"{scheme}://{server.host}:{port}")
        yield Listener(bound, server_context(tls) if tls else None, replace(config.gateway, port=port, url=url))


@contextmanager
def _bound(host: str, port: int, *, share: bool) -> Iterator[socket.socket]:
    bare = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in bare else socket.AF_INET) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            bound.bind((bare, port))
        except OSError as error:
            raise ConfigurationError(
                "RUNSTREAM_GATEWAY_PORT", f"port {port} of {host}: {error.strerror}; choose another one, or 0 for any"
            ) from None
        yield bound
