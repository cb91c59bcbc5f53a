"""The snapshot of a run."""

import os
import tempfile
from pathlib import Path
from typing import Generic

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.core._forms import E, R, W
from runstream.core._run.logs import LogCalls
from runstream.core._source import SNAPSHOT_PROPERTY
from runstream.core._surface import dual
from runstream.exceptions import ServiceException, SnapshotException, UserErrorException


class SnapshotCalls(LogCalls[W, E, R], Generic[W, E, R]):
    """Takes and restores the snapshot of a run: its source folder as it was."""

    @dual
    async def take_snapshot(self, file_or_folder_path: str | os.PathLike[str]) -> str:
        """Stores a folder, or one file, as the snapshot of the run and returns the id of the snapshot.

        What the file `.amlignore` in the folder lists is left out, or what `.gitignore` lists where there is none.
        Files that the workspace has already are not sent, and the same content gives the same id.

        Raises:
            SnapshotException: The run has a snapshot; or this one is too large, or cannot be taken.
        """
        from runstream._snapshot.take import take_snapshot

        record = await self._refresh()
        if taken := record.properties.get(SNAPSHOT_PROPERTY):
            raise SnapshotException(f"Run {self.id} has a snapshot already: {taken}.")
        workspace = self._workspace._record.name
        snapshot = await take_snapshot(self._connection(), workspace, Path(file_or_folder_path))
        await self._note_snapshot(snapshot)
        return snapshot

    @dual
    async def get_snapshot_id(self) -> str:
        """The id of the snapshot of the run.

        Raises:
            SnapshotException: It has none.
        """
        return await self._snapshot_id()

    @dual
    async def restore_snapshot(self, snapshot_id: str | None = None, path: str | os.PathLike[str] | None = None) -> str:
        """Writes a snapshot as `<path>/<snapshot id>.zip` and returns the absolute path of that file.

            archive = run.restore_snapshot(path="source-of-run")

        It is that of the run unless another one of the workspace is named. The folder is made if need be; default: a
        temporary one.

        Raises:
            SnapshotException: The run has no snapshot, or there is none of this id.
        """
        chosen = snapshot_id or await self._snapshot_id()
        return str(await self._fetch_snapshot(chosen, Path(path) if path else Path(tempfile.mkdtemp())))

    async def _fetch_snapshot(self, snapshot: str, folder: Path) -> Path:
        from runstream._snapshot.archive import fetch_archive

        target = (folder / f"{Path(snapshot).name}.zip").absolute()
        try:
            await fetch_archive(self._connection(), f"{self._workspace._record.name}/snapshots/{snapshot}", target)
        except (ServiceException, UserErrorException) as error:
            if error.reason not in ("SNAPSHOT_NOT_FOUND", "INVALID_FIELD"):
                raise
            raise SnapshotException(f"There is no snapshot {snapshot!r} in the workspace.", error) from None
        return target

    async def _snapshot_id(self) -> str:
        if not (found := self._record.properties.get(SNAPSHOT_PROPERTY)):
            found = (await self._refresh()).properties.get(SNAPSHOT_PROPERTY)
        if not found:
            raise SnapshotException(f"Run {self.id} has no snapshot.")
        return found

    async def _note_snapshot(self, snapshot: str) -> None:
        connection = self._connection()
        request = api.AddPropertiesRequest(name=self._record.name, properties={SNAPSHOT_PROPERTY: snapshot})
        try:
            response = await connection.call(connection.runs.AddProperties, request)
        except UserErrorException as error:
            raise SnapshotException(f"Run {self.id} has a snapshot already. {error.message}", error) from None
        self._record.properties.update(response.properties)
