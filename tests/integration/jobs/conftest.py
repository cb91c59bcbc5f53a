"""What tests of jobs stand on."""

import pytest

from tests.conftest import Backend
from tests.submitted import Submitter, make_submitter


@pytest.fixture
async def submitter(backend: Backend) -> Submitter:
    """Submits runs to the backend of this test."""
    return await make_submitter(backend.channel)
