"""Sends small contents, many in one message."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, TypeVar

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

T = TypeVar("T")


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

    await each(send, messages_of(contents, attrgetter("size")), MESSAGES_AT_ONCE)


def messages_of(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Small things, of which the size is known, in pieces that fit into a message each."""
    some: list[T] = []
    total = 0
    for item in items:
        size = size_of(item) + BLOB_OVERHEAD
        if some and (len(some) == MESSAGE_BLOBS or total + size > MESSAGE_BYTES):
            yield some
            some, total = [], 0
        some.append(item)
        total += size
    if some:
        yield some


def _blob(content: Content) -> SmallBlob:
    if content.held is not None:
        return SmallBlob(digest=content.digest, data=content.held)
    with content.open() as body:
        return SmallBlob(digest=content.digest, data=body.read(content.size))


def _changed_of(contents: Sequence[Content], error: UserErrorException) -> str:
    announced = {content.digest: name_of(content) for content in contents}
    return next((name for digest, name in announced.items() if digest in error.message), "A file")
