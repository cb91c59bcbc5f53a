"""`ArtifactService` on the wire: decode, delegate, encode."""

from runstream_server.artifacts.batches import Batches
from runstream_server.artifacts.blobs import Blobs
from runstream_server.artifacts.rules import Artifacts
from runstream_server.artifacts.servicer.artifacts import ArtifactMethods
from runstream_server.artifacts.servicer.blobs import BlobMethods
from runstream_server.artifacts.servicer.snapshots import SnapshotMethods
from runstream_server.artifacts.servicer.transfers import Transfers
from runstream_server.artifacts.snapshots import Snapshots


class ArtifactServicer(ArtifactMethods, BlobMethods, SnapshotMethods):
    """`ArtifactService` on the wire."""

    def __init__(self, artifacts: Artifacts, batches: Batches, blobs: Blobs, snapshots: Snapshots) -> None:
        self._artifacts = artifacts
        self._batches = batches
        self._blobs = blobs
        self._snapshots = snapshots
        self._transfers = Transfers()


__all__ = ["ArtifactServicer"]
