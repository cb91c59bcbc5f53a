"""A gateway in front of all services."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Backend
from tests.gateways import Gateway, open_gateway


@pytest.fixture
async def gateway(backend: Backend) -> AsyncIterator[Gateway]:
    """The gateway of services that let everybody in."""
    async with open_gateway(backend.channel) as opened:
        yield opened
