"""An upload through the services goes on from where it is, whatever they answer meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runstream._channel.address import STATE_VARIABLE
from runstream._transfer.contents import look_at
from runstream._transfer.http import HttpClient
from runstream._transfer.large import LargeUpload
from runstream._transfer.progress import Moved, Silent
from runstream._transfer.settings import Settings
from runstream._transfer.through import BLOCK_BYTES
from runstream.api.artifacts.v1.artifact_service_pb2 import (
    BeginUploadResponse,
    CompleteUploadResponse,
    QueryUploadResponse,
    UploadBlobRequest,
)
from runstream.exceptions import AzureMLException, ServiceException, UserErrorException

PARTS = 3
FULL = ServiceException("There is no room.", status_code=429, reason="TOO_MANY_CALLS")
AWAY = ServiceException("The stream broke.", status_code=503, reason="INTERRUPTED")
MISMATCH = UserErrorException("Bytes are stored up to another place.", reason="OFFSET_MISMATCH")
SLOW = ServiceException("A part was too slow; go to the bucket.", status_code=503, reason="PART_TOO_SLOW")
REFUSED = UserErrorException("It is too much.", reason="INVALID_FIELD")


class Services:
    """Services that take parts of the size of a block; each error ends a stream in the middle of its second part."""

    address = "127.0.0.1:1"

    def __init__(self, *errors: AzureMLException, takes_parts: bool = True) -> None:
        self._errors = iter(errors)
        self._takes_parts = takes_parts
        self.streams = 0
        self.artifacts = self
        self.arrived = 0

    def __getattr__(self, method: str) -> str:
        return method

    async def call(self, method: str, request: Any, **options: object) -> Any:
        if method == "BeginUpload":
            return BeginUploadResponse(upload_id="a", part_size_bytes=BLOCK_BYTES, part_count=PARTS)
        if method == "CompleteUpload":
            return CompleteUploadResponse()
        return QueryUploadResponse(
            size_bytes=PARTS * BLOCK_BYTES,
            part_size_bytes=BLOCK_BYTES,
            part_count=PARTS,
            missing_part_numbers=range(self.arrived + 1, PARTS + 1),
            committed_size_bytes=self.arrived * BLOCK_BYTES,
        )

    async def send_stream(self, method: str, requests: AsyncIterator[UploadBlobRequest]) -> None:
        start = (await anext(requests)).start
        assert start.offset_bytes == self.arrived * BLOCK_BYTES
        error = next(self._errors, None)
        self.streams += 1
        if error and not self._takes_parts:
            raise error
        async for _ in requests:
            self.arrived += 1
            if error:
                await anext(requests, None)
                raise error


async def sent(services: Services, attempts: int = 2) -> int:
    """Sends some parts; how far the meter went."""
    moved = Moved(Silent())
    content = look_at(bytes(PARTS * BLOCK_BYTES))
    upload = LargeUpload(services, "workspaces/space", content, HttpClient(), asyncio.Semaphore(1))  # type: ignore[arg-type]
    await upload.run(Settings(use_bucket=False, attempts=attempts), moved)
    return moved.size


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))


@pytest.mark.parametrize("error", [FULL, AWAY, MISMATCH, SLOW], ids=lambda error: error.reason)
async def test_what_passes_costs_what_was_lost_and_the_meter_ends_where_it_should(error: AzureMLException) -> None:
    services = Services(error, error)

    assert await sent(services) == PARTS * BLOCK_BYTES
    assert services.arrived == PARTS


async def test_what_does_not_pass_is_told() -> None:
    with pytest.raises(UserErrorException, match="too much"):
        await sent(Services(REFUSED))


async def test_parts_that_are_too_slow_again_and_again_are_told_before_it_takes_long() -> None:
    services = Services(*[SLOW] * 9, takes_parts=False)

    with pytest.raises(ServiceException, match="go to the bucket"):
        await sent(services, attempts=8)
    assert services.streams == 3
