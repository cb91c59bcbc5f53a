"""What a workspace has already."""

from collections.abc import Sequence
from typing import Final

from runstream._channel import Connection
from runstream._transfer.attempts import parts
from runstream.api.artifacts.v1.artifact_service_pb2 import FindMissingBlobsRequest

MAX_DIGESTS: Final = 10_000
"""As the contract says."""


async def missing_of(connection: Connection, workspace: str, digests: Sequence[str]) -> list[str]:
    """Those of distinct digests that a workspace does not have."""
    found: list[str] = []
    for some in parts(digests, MAX_DIGESTS):
        request = FindMissingBlobsRequest(parent=workspace, digests=some)
        response = await connection.call(connection.artifacts.FindMissingBlobs, request)
        found.extend(response.missing_digests)
    return found
