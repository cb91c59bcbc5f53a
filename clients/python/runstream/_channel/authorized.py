"""A channel whose calls carry a token."""

import logging
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runstream._channel.address import host_and_port, is_loopback, is_secure
from runstream._channel.options import channel_options
from runstream._channel.tokens import Credential
from runstream.exceptions import UserErrorException

if TYPE_CHECKING:
    import grpc

CA_VARIABLE: Final = "RUNSTREAM_CA_FILE"
"""The file with the certificates, as PEM, of the authorities that the services' own is checked against."""

BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep those that they trust, where this Python does not know better."""

_logger = logging.getLogger("runstream")
_warned: set[str] = set()


class AuthorizedChannel:
    """Has of a channel of grpc.aio what stubs and streams need. Each call carries the token as it is when it begins."""

    def __init__(self, channel: "grpc.aio.Channel", credential: Credential) -> None:
        self._channel = channel
        self._credential = credential

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method with one request and one response."""
        return self._authorized(self._channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method with a stream of responses."""
        return self._authorized(self._channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method with a stream of requests."""
        return self._authorized(self._channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """A callable for a method with streams of both."""
        return self._authorized(self._channel.stream_stream(*args, **kwargs))

    def get_state(self, try_to_connect: bool = False) -> "grpc.ChannelConnectivity":
        """How the connection stands."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: "grpc.ChannelConnectivity") -> None:
        """Returns when it stands otherwise."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def close(self, grace: float | None = None) -> None:
        """Closes the channel; calls under way are cancelled."""
        await self._channel.close(grace)

    def _authorized(self, method: Any) -> Callable[..., Any]:
        credential = self._credential

        def call(*request: Any, **options: Any) -> Any:
            return method(*request, metadata=credential.metadata, **options)

        return call


def open_channel(address: str, credential: Credential | None = None) -> AuthorizedChannel:
    """A channel to `address`, of this process and the running event loop.

    Raises:
        UserErrorException: The file with the certificates cannot be read.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # its fork handlers block; no channel crosses a fork anyway
    import grpc.aio

    credential = credential or Credential.ambient(address)
    options, place = channel_options(address), host_and_port(address)
    if is_secure(address):
        trusted = grpc.ssl_channel_credentials(trusted_roots())
        return AuthorizedChannel(grpc.aio.secure_channel(place, trusted, options=options), credential)
    _warn_of_open_token(address, credential)
    return AuthorizedChannel(grpc.aio.insecure_channel(place, options=options), credential)


def trusted_roots() -> bytes | None:
    """The certificates of `RUNSTREAM_CA_FILE`, else those of the system; None: gRPC has some of its own.

    Raises:
        UserErrorException: The file of the variable cannot be read, or has no certificate.
    """
    chosen = os.environ.get(CA_VARIABLE)
    if not chosen:
        known = (ssl.get_default_verify_paths().cafile or "", *BUNDLES)
        return next((found for path in known if path and (found := _read(path))), None)
    try:
        found = Path(chosen).read_bytes()
    except OSError as error:
        message = f"The file {chosen} of {CA_VARIABLE} cannot be read: {error.strerror}."
        raise UserErrorException(message, error, reason="INVALID_CA_FILE") from error
    if b"-----BEGIN CERTIFICATE-----" not in found:
        raise UserErrorException(f"The file {chosen} of {CA_VARIABLE} has no certificate.", reason="INVALID_CA_FILE")
    return found


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _warn_of_open_token(address: str, credential: Credential) -> None:
    if address not in _warned and not is_loopback(address) and credential.token.secret:
        _warned.add(address)
        _logger.warning(
            "The token is sent to %s without encryption: whoever is in between can read and use it. "
            "Where the services speak TLS, write grpcs://%s.",
            *(address, address),
        )
