"""A tail goes on by itself when its connection breaks."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from runstream._channel.connection import Connection, close_connections
from runstream.api.metrics.v1.metrics_service_pb2 import TailSeriesRequest
from runstream.core.series import Series, SeriesTail
from runstream.exceptions import ServiceException
from runstream_server.config import Config
from tests.append_clients import doubles, metrics_stream
from tests.conftest import Backend, serve
from tests.make_runs import make_run

SECONDS = 30


@pytest.fixture(autouse=True)
async def _no_connection_is_left() -> AsyncIterator[None]:
    yield
    await close_connections()


def tail_of(backend: Backend, run: str, *, from_now: bool = False) -> SeriesTail:
    request = TailSeriesRequest(runs=[run], from_now=from_now)
    return SeriesTail(lambda: Connection.to(backend.address), request)


async def log(backend: Backend, run: str, writer: str, values: list[float]) -> None:
    async with metrics_stream(backend.channel, run, writer=writer) as stream:
        await stream.send(1, doubles("loss", values))
        await stream.acknowledged(1)


async def take(tail: SeriesTail, count: int) -> list[float]:
    """Values of the next pieces."""
    found: list[float] = []
    async with asyncio.timeout(SECONDS):
        while len(found) < count:
            piece: Series = await anext(tail)
            assert piece.start_index == int(piece.values[0])
            found += [float(value) for value in piece.values]
    return found


async def test_a_restart_of_the_server_loses_and_repeats_nothing(config: Config) -> None:
    async with serve(config) as before:
        run = await make_run(before.channel)
        await log(before, run, "a", [0.0, 1.0])
        tail = tail_of(before, run)
        assert await take(tail, 2) == [0.0, 1.0]
        following = asyncio.create_task(take(tail, 3))
    port = int(before.address.rpartition(":")[2])
    async with serve(replace(config, server=replace(config.server, port=port))) as after:
        await log(after, run, "b", [2.0, 3.0])
        await log(after, run, "c", [4.0])
        assert await following == [2.0, 3.0, 4.0]
        await tail.aclose()


async def test_a_tail_from_now_leaves_out_what_is_stored(backend: Backend, run: str) -> None:
    await log(backend, run, "a", [0.0, 1.0])
    tail = tail_of(backend, run, from_now=True)
    following = asyncio.create_task(take(tail, 1))
    async with metrics_stream(backend.channel, run, writer="b") as stream:
        for sequence in range(1, 10_000):  # nothing tells when the tail has begun
            await stream.send(sequence, doubles("loss", [1.0 + sequence]))
            await stream.acknowledged(sequence)
            if following.done():
                break

    assert min(await following) >= 2.0
    await tail.aclose()


async def test_an_address_that_nobody_answers_at_is_told() -> None:
    tail = SeriesTail(lambda: Connection.to("127.0.0.1:9"), TailSeriesRequest(runs=["workspaces/a/runs/b"]))

    with pytest.raises(ServiceException, match="cannot be reached"):
        await anext(tail)
