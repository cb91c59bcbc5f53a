"""Sends small contents, many in one message."""

from collections.abc import Iterator, Sequence
from typing import Final

from runstream._channel import Connection
from runstream._channel.threads import in_thread
from runstream._transfer.attempts import each
from runstream._transfer.contents import Content, changed, name_of
from runstream._transfer.progress import Meter
from runstream.api.artifacts.v1.artifact_service_pb2 import BatchUploadBlobsRequest, SmallBlob
from runstream.exceptions import UserErrorException

MAX_BYTES: Final = 1024 * 1024
"""Of a small content, as the contract says."""
MESSAGE_BYTES: Final = 2 * 1024 * 1024
MESSAGE_BLOBS: Final = 1_000
BLOB_OVERHEAD: Final = 80
"""What a blob has in a message besides its bytes."""
MESSAGES_AT_ONCE: Final = 2
SEND_SECONDS: Final = 60.0


async def send_small(connection: Connection, workspace: str, contents: Sequence[Content], meter: Meter) -> None:
    """Stores contents of up to `MAX_BYTES` each. Doing so again changes nothing.

    Raises:
        UserErrorException: A file was changed meanwhile, or cannot be read any more.
        ServiceException: The services failed.
    """

    async def send(some: Sequence[Content]) -> None:
        blobs = await in_thread(lambda: [_blob(content) for content in some])
        request = BatchUploadBlobsRequest(parent=workspace, blobs=blobs)
        try:
            await connection.call(connection.artifacts.BatchUploadBlobs, request, timeout=SEND_SECONDS)
        except UserErrorException as error:
            if error.reason != "DIGEST_MISMATCH":
                raise
            raise changed(_changed_of(some, error)) from error
        meter.advance(sum(content.size for content in some))

    await each(send, _messages(contents), MESSAGES_AT_ONCE)


def _blob(content: Content) -> SmallBlob:
    with content.open() as body:
        return SmallBlob(digest=content.digest, data=body.read(content.size))


def _messages(contents: Sequence[Content]) -> Iterator[Sequence[Content]]:
    """The contents in pieces that fit into a message each."""
    some: list[Content] = []
    size = 0
    for content in contents:
        if some and (len(some) == MESSAGE_BLOBS or size + content.size + BLOB_OVERHEAD > MESSAGE_BYTES):
            yield some
            some, size = [], 0
        some.append(content)
        size += content.size + BLOB_OVERHEAD
    if some:
        yield some


def _changed_of(contents: Sequence[Content], error: UserErrorException) -> str:
    announced = {content.digest: name_of(content) for content in contents}
    return next((name for digest, name in announced.items() if digest in error.message), "A file")
