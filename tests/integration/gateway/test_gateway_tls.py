"""The gateway shows the certificate of the services."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp

from runstream_server import app
from runstream_server.auth_config import TlsConfig
from runstream_server.config import Config, ServerConfig
from runstream_server.rpc import open_channel
from tests.certificates import Certificate, make_certificate
from tests.gateways import gateway_url


@asynccontextmanager
async def served(config: Config, made: Certificate) -> AsyncIterator[str]:
    """The URL of a gateway with a certificate."""
    tls = TlsConfig(certificate=made.certificate, key=made.key)
    secured = replace(config, server=ServerConfig(host="localhost", port=0, tls=tls, drain_seconds=1))
    async with app.serve(secured) as server, open_channel(server.inner_address) as channel:
        yield await gateway_url(channel)


async def answers(url: str, authority: Path) -> bool:
    """Whether a new connection that trusts `authority` is served."""
    trust = ssl.create_default_context(cafile=str(authority))
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"{url}/version", ssl=trust) as response:
                return response.status == 200
        except aiohttp.ClientConnectorCertificateError:
            return False


async def test_a_renewed_certificate_is_shown_without_a_new_start(config: Config, tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    former = tmp_path / "former.pem"
    former.write_bytes(made.certificate.read_bytes())
    async with served(config, made) as url:
        before = await answers(url, former)
        made.certificate.write_text("half of a cert")
        meanwhile = await answers(url, former)
        make_certificate(tmp_path)

        assert url.startswith("https://localhost:")
        assert (before, meanwhile) == (True, True)
        assert await answers(url, made.certificate)
        assert not await answers(url, former)
