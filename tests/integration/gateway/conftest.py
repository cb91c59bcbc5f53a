"""A gateway in front of all services."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Backend
from tests.gateway_files import Files, files_of
from tests.gateways import Gateway, open_gateway
from tests.logged_models import Models
from tests.make_runs import make_run
from tests.searched_runs import Experiment, make_experiment


@pytest.fixture
async def gateway(backend: Backend) -> AsyncIterator[Gateway]:
    """The gateway of services that let everybody in."""
    async with open_gateway(backend.channel) as opened:
        yield opened


@pytest.fixture
async def files(backend: Backend, gateway: Gateway) -> Files:
    """The files of a run with the id `run`."""
    await make_run(backend.channel)
    return await files_of(gateway, "run")


@pytest.fixture
async def models(gateway: Gateway, files: Files) -> Models:
    """The logged models of the experiment of the run `run`."""
    return Models(gateway, files.root.partition("/")[0])


@pytest.fixture
async def experiment(backend: Backend, gateway: Gateway) -> Experiment:
    """An experiment without runs."""
    return await make_experiment(backend.channel, gateway)
