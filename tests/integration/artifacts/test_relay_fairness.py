"""Senders that get nowhere, and those that wait behind them."""

import asyncio
from collections.abc import AsyncIterator

from runstream_server.artifacts.errors import PartTooSlow
from runstream_server.artifacts.model import MIB, Parts
from runstream_server.artifacts.relay import Relay
from runstream_server.names import WorkspaceName
from tests.artifact_calls import sha256
from tests.artifact_rules import SPACE, Service

NAME = WorkspaceName(SPACE)
PLACES = 4


async def _begin(service: Service, data: bytes) -> str:
    parts = Parts.cut(len(data), multipart=True)
    return (await service.uploads.begin(NAME, sha256(data), parts)).upload.upload_id


async def _stuck() -> AsyncIterator[bytes]:
    yield b"a byte"
    await asyncio.Event().wait()


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), MIB):
        yield data[start : start + MIB]


async def test_senders_that_do_not_fill_a_part_in_time_make_room_for_others(service: Service) -> None:
    relay = Relay(service.uploads, service.bucket, part_seconds=0.2)
    uploads = [await _begin(service, bytes([number]) * MIB) for number in range(PLACES)]
    stuck = [asyncio.create_task(relay.take(NAME, upload, 0, _stuck())) for upload in uploads]
    data = b"x" * (2 * MIB)

    stored = await relay.take(NAME, await _begin(service, data), 0, _whole(data))
    ended = await asyncio.gather(*stuck, return_exceptions=True)

    assert stored == len(data)
    assert [type(each) for each in ended] == [PartTooSlow] * PLACES
