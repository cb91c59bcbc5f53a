"""The source folder of a run that is about to be made: its snapshot is taken first, so that no run is left without."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runstream._channel.address import OFFLINE
from runstream._channel.threads import in_thread

if TYPE_CHECKING:
    from runstream._snapshot.take import Survey
    from runstream._transfer.progress import Meter
    from runstream.core._workspace import WorkspaceCalls

SNAPSHOT_PROPERTY: Final = "ContentSnapshotId"


async def survey_folder(
    workspace: "WorkspaceCalls[Any, Any, Any]", folder: str | os.PathLike[str] | None
) -> "Survey | None":
    """Finds out what belongs to the snapshot of a folder; nothing without one.

    Raises:
        SnapshotException: It is too large, cannot be read, or has something that cannot be stored.
    """
    if folder is None:
        return None
    from runstream._snapshot.take import check_default_limits, survey

    found = await in_thread(survey, Path(folder))
    if workspace._address == OFFLINE:
        check_default_limits(found)
    return found


async def store_snapshot(
    workspace: "WorkspaceCalls[Any, Any, Any]", found: "Survey | None", meter: "Meter | None" = None
) -> dict[str, str]:
    """Stores a snapshot; the properties of its run that say so. Offline and without one there are none.

    `meter` is told how much of it is sent.

    Raises:
        SnapshotException: It is too large, or was changed meanwhile.
        ServiceException: The services are away.
    """
    if found is None or workspace._address == OFFLINE:
        return {}
    from runstream._snapshot.take import make_snapshot

    return {SNAPSHOT_PROPERTY: await make_snapshot(workspace._connection(), workspace._record.name, found, meter)}


def keep_snapshot(workspace: "WorkspaceCalls[Any, Any, Any]", run: str, found: "Survey | None") -> None:
    """Offline, keeps a snapshot for its run until `runstream sync` stores it."""
    if found is not None and workspace._address == OFFLINE:
        from runstream._journal.connection import OfflineConnection

        OfflineConnection.shared().keep_snapshot(run, found)
