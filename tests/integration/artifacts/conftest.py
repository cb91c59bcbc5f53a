"""Fixtures of tests of the artifact service."""

from collections.abc import AsyncIterator

import pytest

from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests.artifact_rules import Service


@pytest.fixture
async def service(postgres: Postgres, bucket: Bucket) -> AsyncIterator[Service]:
    service = Service(postgres, bucket)
    yield service
    await service.close()
