"""P4: what does not join on is refused with what was expected, and nothing of it is stored."""

import grpc
import pytest

from tests.append_clients import Failure, doubles, metrics_stream
from tests.chaos.checker import read_run
from tests.conftest import Backend

LARGEST = 2**63 - 1
GAP = Failure(grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_GAP", {"expected": "4"})


@pytest.mark.parametrize("sequence", [5, 0, -1, LARGEST, -LARGEST - 1])
async def test_a_batch_that_does_not_join_on_is_refused_with_the_sequence_expected(
    backend: Backend, run: str, sequence: int
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        for joining in (1, 2, 3):
            await stream.send(joining, doubles("m", [joining]))
        await stream.acknowledged(3)
        await stream.send(sequence, doubles("m", [-1.0]), doubles("other", [-1.0]))
        assert await stream.end() == GAP

    stored = await read_run(backend.channel, run)
    assert {metric: each.doubles for metric, each in stored.items()} == {"m": [1, 2, 3]}


async def test_batches_before_a_gap_are_stored_and_a_stream_goes_on_at_what_was_expected(
    backend: Backend, run: str
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        for sequence in (1, 2, 3, 5):
            await stream.send(sequence, doubles("m", [sequence]))
        assert await stream.end() == GAP
        assert stream.durable == 3
    async with metrics_stream(backend.channel, run, durable=3) as stream:
        for sequence in (4, 5):
            await stream.send(sequence, doubles("m", [sequence]))
        await stream.acknowledged(5)

    assert (await read_run(backend.channel, run))["m"].doubles == [1, 2, 3, 4, 5]


async def test_one_sequence_with_two_contents_keeps_the_first_and_is_noticed_at_the_next_opening(
    backend: Backend, run: str
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("m", [1.0]), digest=b"one")
        await stream.send(1, doubles("m", [2.0]), digest=b"two")
        await stream.acknowledged(1)
    async with metrics_stream(backend.channel, run, durable=1, digest=b"two") as stream:
        failure = await stream.end()

    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRITER_DIVERGED")
    assert (await read_run(backend.channel, run))["m"].doubles == [1.0]
