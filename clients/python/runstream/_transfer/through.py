"""Moves bytes through the services, where the bucket cannot be reached."""

from collections.abc import AsyncIterator
from typing import Any, Final

from runstream._channel import Connection
from runstream._channel.threads import in_thread
from runstream._transfer.contents import Content
from runstream._transfer.progress import Meter
from runstream.api.artifacts.v1.artifact_service_pb2 import UploadBlobRequest, UploadBlobStart

BLOCK_BYTES: Final = 256 * 1024


async def upload_through(connection: Connection, start: UploadBlobStart, content: Content, meter: Meter) -> None:
    """Sends the bytes of an upload from `start` on; whoever calls asks how much of it arrived, and calls again.

    Raises:
        AzureMLException: As the status of the call says.
        UserErrorException: The file was changed meanwhile, or cannot be read any more.
    """
    await connection.send_stream(connection.artifacts.UploadBlob, _messages(start, content, meter))


async def _messages(start: UploadBlobStart, content: Content, meter: Meter) -> AsyncIterator[Any]:
    yield UploadBlobRequest(start=start)
    with content.open(start.offset_bytes) as body:
        while block := await in_thread(body.read, BLOCK_BYTES):
            yield UploadBlobRequest(data=block)
            meter.advance(len(block))
