"""Settings of who may call, and of how calls travel."""

import ipaddress
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from runstream_server.errors import ConfigurationError
from runstream_server.variables import Variables

NONE = "none"
REQUIRED = "required"
PLAINTEXT = "plaintext"
NO_AUTH = "no-auth"

_LEAST_KEY = 32


@dataclass(frozen=True, kw_only=True)
class AuthConfig:
    """Who may call."""

    required: bool = False
    """`RUNSTREAM_AUTH`. `none`: everybody may do everything; `required`: calls need a token."""

    service_key: str = field(default="", repr=False)
    """`RUNSTREAM_SERVICE_KEY`. What the services show to each other: 32 characters or more, the same in all processes.
    Default: made at start, for services that are all in one process tree."""

    authority: Path | None = None
    """`RUNSTREAM_CA_FILE`. The certificates, in PEM, by which services trust each other where `--peers` is reached by
    TLS. Default: the usual ones."""

    run_token_seconds: float = 86_400.0
    """`RUNSTREAM_RUN_TOKEN_SECONDS`. How long tokens of runs are taken; runners renew them after half of it; above
    0."""

    check_seconds: float = 25.0
    """`RUNSTREAM_AUTH_CHECK_SECONDS`. For how long a token that was looked up is believed to be as it was, and how
    often open streams are checked; above 0, up to 25, so that a token that was revoked is refused within a minute."""


@dataclass(frozen=True, kw_only=True)
class TlsConfig:
    """What a port shows to those who connect, in PEM."""

    certificate: Path
    """`RUNSTREAM_TLS_CERTIFICATE`. The certificate, then those of the authorities between it and the root."""

    key: Path = field(repr=False)
    """`RUNSTREAM_TLS_KEY`. Its private key."""


@dataclass(frozen=True)
class Exposure:
    """What guards a port."""

    has_tls: bool
    has_auth: bool

    accepted: frozenset[str] = frozenset()
    """`RUNSTREAM_INSECURE`. What may be missing all the same: `plaintext`, `no-auth`."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, exposure: Exposure, variable: str = "RUNSTREAM_HOST") -> None:
    """Raises ConfigurationError if other machines reach a host and nothing guards it that has to."""
    if is_loopback(host):
        return
    if not exposure.has_auth and NO_AUTH not in exposure.accepted:
        raise ConfigurationError(
            variable,
            f"other machines reach {host!r}, and whoever does could read and change everything: set"
            f" RUNSTREAM_AUTH={REQUIRED}, or serve a loopback address such as 127.0.0.1;"
            f" RUNSTREAM_INSECURE={NO_AUTH} says that it is meant so",
        )
    if not exposure.has_tls and PLAINTEXT not in exposure.accepted:
        raise ConfigurationError(
            variable,
            f"other machines reach {host!r}, and whoever is in between could read tokens and data: set"
            " RUNSTREAM_TLS_CERTIFICATE and RUNSTREAM_TLS_KEY, or serve a loopback address such as 127.0.0.1;"
            f" RUNSTREAM_INSECURE={PLAINTEXT} says that something else encrypts what travels",
        )


def read_auth(read: Variables) -> AuthConfig:
    """Reads who may call; raises ConfigurationError."""
    required = read.choice("RUNSTREAM_AUTH", NONE, (NONE, REQUIRED)) == REQUIRED
    key = read.text("RUNSTREAM_SERVICE_KEY", default="")
    if key and (len(key) < _LEAST_KEY or not key.isprintable() or not key.isascii() or key != key.strip()):
        raise ConfigurationError(
            "RUNSTREAM_SERVICE_KEY", f"expected {_LEAST_KEY} or more characters of ASCII, no space at its ends"
        )
    authority = read.text("RUNSTREAM_CA_FILE", default="")
    seconds = read.some_seconds("RUNSTREAM_AUTH_CHECK_SECONDS", AuthConfig.check_seconds)
    if seconds > AuthConfig.check_seconds:
        raise ConfigurationError("RUNSTREAM_AUTH_CHECK_SECONDS", f"expected up to {AuthConfig.check_seconds:g} seconds")
    return AuthConfig(
        required=required,
        service_key=key or (secrets.token_urlsafe(_LEAST_KEY) if required else ""),
        authority=Path(authority) if authority else None,
        run_token_seconds=read.some_seconds("RUNSTREAM_RUN_TOKEN_SECONDS", AuthConfig.run_token_seconds),
        check_seconds=seconds,
    )


def read_tls(read: Variables) -> TlsConfig | None:
    """Reads what the port shows; raises ConfigurationError."""
    certificate, key = (read.text(each, default="") for each in ("RUNSTREAM_TLS_CERTIFICATE", "RUNSTREAM_TLS_KEY"))
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise ConfigurationError(
            "RUNSTREAM_TLS_KEY" if certificate else "RUNSTREAM_TLS_CERTIFICATE", "not set, though the other one is"
        )
    return TlsConfig(certificate=Path(certificate), key=Path(key))
