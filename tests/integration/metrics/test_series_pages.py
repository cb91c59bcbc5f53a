"""Pages of series are bounded in bytes as well, and nothing is left out between them."""

import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import doubles, metrics_stream
from tests.conftest import Backend

NAMES = [f"m{number:03}" for number in range(300)]


@pytest.fixture
async def large(backend: Backend, postgres: Postgres, run: str) -> str:
    """A run with 300 series whose descriptions take 6 MB."""
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, *(doubles(name, [1.0]) for name in NAMES))
        await stream.acknowledged(1)
    await postgres.execute("UPDATE metrics.series SET description = repeat('\N{GRINNING FACE}', 5000)")
    return run


async def test_a_page_ends_with_the_series_that_takes_it_past_its_bytes(backend: Backend, large: str) -> None:
    first = await stubs.metrics(backend.channel).ListSeries(messages.ListSeriesRequest(parent=large))
    rest = await stubs.metrics(backend.channel).ListSeries(
        messages.ListSeriesRequest(parent=large, page_token=first.next_page_token)
    )

    assert [series.metric for series in first.series] == NAMES[:210]
    assert [series.metric for series in rest.series] == NAMES[210:]
    assert rest.next_page_token == ""


async def test_reading_and_comparing_and_tailing_go_on_with_the_next_page(backend: Backend, large: str) -> None:
    stub = stubs.metrics(backend.channel)
    read = [each.columns.metric async for each in stub.ReadSeries(messages.ReadSeriesRequest(runs=[large]))]
    compared = [
        each.metric
        async for each in stub.CompareSeries(messages.CompareSeriesRequest(runs=[large], metrics=NAMES[200:]))
    ]
    tailed: list[str] = []
    async for message in stub.TailSeries(messages.TailSeriesRequest(runs=[large])):
        tailed.append(message.values.columns.metric)
        if len(tailed) == len(NAMES):
            break

    assert read == NAMES
    assert compared == NAMES[200:]
    assert tailed == NAMES
