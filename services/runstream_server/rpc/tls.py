"""What a port shows to those who connect by TLS. A certificate that is renewed is shown from the next connection on."""

import logging
import ssl
from pathlib import Path

import grpc

from runstream_server.auth_config import TlsConfig
from runstream_server.errors import ConfigurationError

logger = logging.getLogger(__name__)


def server_credentials(tls: TlsConfig) -> grpc.ServerCredentials:
    """What the port shows; raises ConfigurationError if that cannot be used."""
    return grpc.dynamic_ssl_server_credentials(_load(tls), _Renewal(tls).fetch)  # type: ignore[arg-type]  # None is fine


def _load(tls: TlsConfig) -> grpc.ServerCertificateConfiguration:
    certificate = _read(tls.certificate, "RUNSTREAM_TLS_CERTIFICATE", b"-----BEGIN CERTIFICATE-----")
    key = _read(tls.key, "RUNSTREAM_TLS_KEY", b"PRIVATE KEY-----")
    _load_chain(tls)
    return grpc.ssl_server_certificate_configuration([(key, certificate)])


def server_context(tls: TlsConfig) -> ssl.SSLContext:
    """The same for a port of HTTP; raises ConfigurationError if it cannot be used."""
    context, renewal = _load_chain(tls), _Renewal(tls)
    newest = [context]

    def look(connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        if renewal.fetch() is not None:
            newest[:] = [_load_chain(tls)]
        connection.context = newest[0]

    context.sni_callback = look  # called as each connection begins, whether it names a server or not
    return context


def _load_chain(tls: TlsConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            "RUNSTREAM_TLS_KEY", f"{tls.key} is not the key, without a password, of {tls.certificate}: {error}"
        ) from None
    return context


def _no_password() -> str:
    """Instead of asking at the terminal."""
    return ""


def _read(path: Path, variable: str, mark: bytes) -> bytes:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(variable, f"cannot read {path}: {error.strerror}") from None
    if mark not in text:
        raise ConfigurationError(variable, f"{path} is not in the PEM form: {mark.decode()!r} is not in it")
    return text


class _Renewal:
    """Looks at each connection whether the files are others; gRPC asks, in a thread of its own."""

    def __init__(self, tls: TlsConfig) -> None:
        self._tls = tls
        self._seen = self._stamps()

    def _stamps(self) -> tuple[object, ...]:
        try:
            stats = [path.stat() for path in (self._tls.certificate, self._tls.key)]
        except OSError:
            return ()
        return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in stats)

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """What to show from now on; None: what was shown before, also while the new files cannot be used."""
        stamps = self._stamps()
        if not stamps or stamps == self._seen:
            return None
        self._seen = stamps
        try:
            renewed = _load(self._tls)
        except ConfigurationError as error:
            logger.warning("the certificate stays as it was", extra={"error": str(error)})
            return None
        logger.info("certificate renewed", extra={"path": str(self._tls.certificate)})
        return renewed
