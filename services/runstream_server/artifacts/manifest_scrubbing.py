"""Reads all manifests again, to find entries that are not what a snapshot was made of."""

from dataclasses import dataclass, field

from runstream_server.artifacts.snapshot_model import Manifest
from runstream_server.artifacts.snapshot_store import SnapshotStore
from runstream_server.errors import DataLoss
from runstream_server.names import SnapshotName

_NAMES_AT_ONCE = 500
_ENTRIES_AT_ONCE = 1_000
_TOLD = 1_000


@dataclass(slots=True)
class ManifestScrub:
    """What was found."""

    snapshots: int = 0
    damaged_snapshots: list[str] = field(default_factory=list)
    """The names of the first 1,000 whose manifest is not what was stored."""


class ManifestScrubber:
    """Compares manifests with the names of their snapshots, which are their digests."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store

    async def scrub(self) -> ManifestScrub:
        """Reads every manifest once."""
        found = ManifestScrub()
        after = SnapshotName("", "")
        while names := await self._store.names_after(after, _NAMES_AT_ONCE):
            after = names[-1]
            found.snapshots += len(names)
            for name in names:
                if not await self._is_well(name) and len(found.damaged_snapshots) < _TOLD:
                    found.damaged_snapshots.append(str(name))
        return found

    async def _is_well(self, name: SnapshotName) -> bool:
        manifest, after = Manifest(), ""
        while entries := await self._store.entries(name, after, _ENTRIES_AT_ONCE):
            after = entries[-1].path
            for entry in entries:
                manifest.add(entry)
        try:
            manifest.check(name)
        except DataLoss:
            return await self._store.find(name) is None
        return True
