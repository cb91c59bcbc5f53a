"""Services that want tokens."""

from collections.abc import AsyncIterator

import pytest

from runstream_server.config import Config
from tests.guarded import Guarded, guarded_services


@pytest.fixture
async def guarded(config: Config) -> AsyncIterator[Guarded]:
    """All services in this process, on this test's database and bucket."""
    async with guarded_services(config) as services:
        yield services
