"""Settings of the gateway."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from runstream_server.errors import ConfigurationError
from runstream_server.variables import Variables

MLFLOW_VERSION = "3.17.2"


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """How the gateway serves HTTP: on the host, and with the certificate, of the services."""

    port: int = 0
    """`RUNSTREAM_GATEWAY_PORT`. 0: a free one. Default: the one after `RUNSTREAM_PORT` (7879), or a free one if that is
    0."""

    url: str = ""
    """`RUNSTREAM_GATEWAY_URL`. Where clients reach the gateway, `https://runs.example.com` for example. Default: its
    host and port, where it is served by this process and its host is one address."""

    mlflow_version: str = MLFLOW_VERSION
    """`RUNSTREAM_MLFLOW_VERSION`. Which version of MLflow clients are told they speak to."""

    spool_bytes: int = 8 << 30
    """`RUNSTREAM_GATEWAY_SPOOL_BYTES`. How much of the disk, in the folder for temporary files, files on their way
    may take together: 16 MiB for each that goes down, 64 MiB for each that goes up, and all of one that comes without
    its length. 64 MiB or more."""


def read_gateway(read: Variables, port: int) -> GatewayConfig:
    """Reads the settings; `port` is that of the services."""
    beside = port + 1 if 0 < port < 65_535 else 0
    return GatewayConfig(
        port=read.integer("RUNSTREAM_GATEWAY_PORT", beside, 0, 65_535),
        url=read_url(read, "RUNSTREAM_GATEWAY_URL"),
        mlflow_version=read.text("RUNSTREAM_MLFLOW_VERSION", default=MLFLOW_VERSION),
        spool_bytes=read.integer("RUNSTREAM_GATEWAY_SPOOL_BYTES", 8 << 30, 64 << 20),
    )


def read_url(read: Variables, variable: str) -> str:
    """The URL that a variable names, without a slash at its end; empty if it is not set. Raises ConfigurationError."""
    url = read.text(variable, default="").rstrip("/")
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise ConfigurationError(variable, f"expected http://HOST or https://HOST; got {url!r}")
    return url
