"""The files of a run."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic

from runstream._channel.address import OFFLINE
from runstream._channel.pages import pages
from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts_api
from runstream.core._forms import E, R, W
from runstream.core._run.logs import stored_log
from runstream.core._run.snapshots import SnapshotCalls
from runstream.core._run.sources import Source, files_below, local, local_file, local_folder, within
from runstream.core._surface import dual
from runstream.exceptions import AzureMLException, ServiceException, UserErrorException

PAGE_SIZE = 10_000
SHOWN_NAMES = 20
MAX_BATCH = 1_000
NOT_FOUND = frozenset({"ARTIFACT_NOT_FOUND", "LOG_NOT_FOUND", "INVALID_FIELD"})

Files = Sequence[tuple[str, Path | bytes]]


class FileCalls(SnapshotCalls[W, E, R], Generic[W, E, R]):
    """Uploads and downloads files. A file is known by its path in the run, with forward slashes: `outputs/a.pkl`."""

    @dual
    async def upload_file(self, name: str, path_or_stream: Source, datastore_name: str | None = None) -> None:
        """Stores a local file, or what a binary stream holds, as the file `name` of the run.

            run.upload_file("outputs/model.pkl", "model.pkl")

        Storing the same bytes under the same name again is accepted. A large file travels in parts; when the upload
        breaks, the next one of the same bytes goes on where it stopped, also in another process.

        Raises:
            UserErrorException: There is no such local file, or the run has another file of this name.
            AzureMLException: It took longer than `AZUREML_ARTIFACTS_DEFAULT_TIMEOUT` says.
        """
        with local(path_or_stream) as source:
            async with within(None):
                await self._upload([(name, source)])

    @dual
    async def upload_files(
        self,
        names: Sequence[str],
        paths: Sequence[str | os.PathLike[str]],
        return_artifacts: bool = False,
        timeout_seconds: float | None = None,
        datastore_name: str | None = None,
    ) -> dict[str, dict[str, Any]] | None:
        """Stores local files, each of `paths` under the name at the same place of `names`; all of them or none.

            run.upload_files(["a.txt", "b.txt"], ["/tmp/a.txt", "/tmp/b.txt"])

        With `return_artifacts` it returns what was stored, by name. More than 1,000 files are stored 1,000 at a time.

        Raises:
            TypeError: `names` and `paths` differ in length.
            UserErrorException: As for `upload_file`.
            AzureMLException: It took longer than `timeout_seconds`.
        """
        if len(names) != len(paths):
            raise TypeError(f"names and paths differ in length: {len(names)} and {len(paths)}")
        async with within(timeout_seconds):
            await self._upload([(name, local_file(path)) for name, path in zip(names, paths, strict=True)])
            if not return_artifacts:
                return None
            wanted = set(names)
            return {file.path: _describe(file) for file in await self._list_artifacts() if file.path in wanted}

    @dual
    async def upload_folder(self, name: str, path: str | os.PathLike[str], datastore_name: str | None = None) -> None:
        """Stores every file below a local folder as `<name>/<path in the folder>`; all of them or none.

            run.upload_folder("checkpoints", "./checkpoints")

        Raises:
            UserErrorException: There is no such folder; else as for `upload_file`.
        """
        async with within(None):
            await self._upload(files_below(name, local_folder(path)))

    @dual
    async def download_file(
        self, name: str, output_file_path: str | os.PathLike[str] | None = None, _validate_checksum: bool = False
    ) -> None:
        """Writes a file of the run to this machine, and checks that its bytes are those that were stored.

            run.download_file("outputs/model.pkl")                 # ./model.pkl
            run.download_file("outputs/model.pkl", "models/")      # models/model.pkl, if models is a folder

        Missing folders are made. The file appears when all of it is there. Of a large one what has arrived is kept
        beside it when the download breaks, and the next one goes on from there.

        Raises:
            UserErrorException: The run has no file of this name; the message lists those it has.
            AzureMLException: It took longer than `AZUREML_ARTIFACTS_DEFAULT_TIMEOUT` says.
        """
        target = _target(name, output_file_path)
        async with within(None):
            if await self._find(name, target):
                return
            names = await self._file_names()
            found = stored_log(name, names)
            if found != name and await self._find(found, target):
                return
        raise UserErrorException(_unknown(name, names))

    @dual
    async def download_files(
        self,
        prefix: str | None = None,
        output_directory: str | os.PathLike[str] | None = None,
        output_paths: Sequence[str | os.PathLike[str]] | None = None,
        batch_size: int = 100,
        append_prefix: bool = True,
        timeout_seconds: float | None = None,
    ) -> None:
        """Writes the files of the run, or those below the folder `prefix`, to this machine.

            run.download_files(prefix="outputs", output_directory="results")     # results/outputs/...

        With `append_prefix=False` the prefix is left out of the local paths. `output_paths` gives the local path of
        each file instead, in the order of `get_file_names()`. Nothing below the prefix is no error. Small files come
        many in one message; URLs of the others are asked for `batch_size` at a time, up to 1,000. Nothing is written
        outside of `output_directory`.

        Raises:
            UserErrorException: There are more or fewer `output_paths` than files; a name leads out of the folder, also
                by a link in it; or two files have the same place there, or one is the folder of another.
            AzureMLException: It took longer than `timeout_seconds`.
        """
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        async with within(timeout_seconds):
            artifacts = {artifact.path: artifact for artifact in await self._list_artifacts(folder)}
            logs = {log.path for log in await self._list_logs() if log.path.startswith(folder)} - artifacts.keys()
            names = sorted(artifacts.keys() | logs)
            shown = names if append_prefix else [name.removeprefix(folder) for name in names]
            targets = _targets(shown, Path(output_directory or "."), output_paths)
            pairs = list(zip(names, targets, strict=True))
            files = [(artifacts[name], target) for name, target in pairs if name in artifacts]
            await self._download_listed(files, max(1, min(batch_size, MAX_BATCH)))
            for name, target in pairs:
                if name in logs:
                    await self._download_log(name, target)

    @dual
    async def get_file_names(self) -> list[str]:
        """The names of all files of the run, its logs included, in ascending order."""
        return await self._file_names()

    async def _file_names(self) -> list[str]:
        stored = {artifact.path for artifact in await self._list_artifacts()}
        return sorted(stored | {log.path for log in await self._list_logs()})

    async def _list_artifacts(self, prefix: str = "") -> list[artifacts_api.Artifact]:
        connection = self._connection()
        request = artifacts_api.ListArtifactsRequest(parent=self._record.name, prefix=prefix, page_size=PAGE_SIZE)
        listed = pages(connection, connection.artifacts.ListArtifacts, request)
        return [artifact async for page in listed for artifact in page.artifacts]

    async def _upload(self, files: Files) -> None:
        from runstream._journal.connection import OfflineConnection
        from runstream._transfer import upload
        from runstream._transfer.places import check_names

        if not files:
            return
        if self._workspace._address == OFFLINE:
            check_names(name for name, _ in files)
            OfflineConnection.shared().keep_files(self._record.name, files)
            return
        try:
            await upload(self._connection(), self._record.name, files)
        except UserErrorException as error:
            if error.reason != "ARTIFACT_EXISTS":
                raise
            raise _conflict(error, files) from None

    async def _find(self, name: str, target: Path) -> bool:
        """Downloads a file; false: the run has none of this name."""
        try:
            await self._download(name, target)
        except (ServiceException, UserErrorException) as error:
            if error.reason not in NOT_FOUND:
                raise
            return False
        return True

    async def _download(self, name: str, target: Path) -> None:
        from runstream._transfer import download

        try:
            await download(self._connection(), self._record.name, name, target)
        except ServiceException as error:
            if error.status_code != 404:
                raise
            await self._download_log(name, target)

    async def _download_listed(self, files: Sequence[tuple[artifacts_api.Artifact, Path]], batch: int) -> None:
        from runstream._transfer import download_listed

        await download_listed(self._connection(), self._record.name, files, batch=batch)

    async def _download_log(self, path: str, target: Path) -> None:
        from runstream._transfer.partial import replacing

        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            async for response in self._read_log(path):
                file.write(response.data)

    async def _upload_outputs(self) -> None:
        await self._upload(self._output_files())

    def _output_files(self) -> Files:
        if self._outputs is None or not self._outputs.folder.is_dir():
            return []
        return files_below(self._outputs.prefix, self._outputs.folder)


def inside(path: str) -> str:
    """A file name as a local path, which cannot lead out of the folder it is appended to.

    Raises:
        UserErrorException: It could.
    """
    from runstream._transfer.places import problem_of

    if problem := problem_of(path):
        raise UserErrorException(f"The file name {path!r} cannot be written below a folder: {problem}.")
    return path


def _conflict(error: UserErrorException, files: Files) -> AzureMLException:
    """Says which local file cannot become which file of the run."""
    path = error.metadata.get("path", "")
    source = dict(files).get(path)
    given = f"the local file {source}" if isinstance(source, Path) else "what was given"
    message = f"Resource Conflict: the artifact already exists. {path} of the run has other content than {given}."
    return UserErrorException(message, error, reason=error.reason, metadata=error.metadata)


def _describe(file: artifacts_api.Artifact) -> dict[str, Any]:
    return {"path": file.path, "size": file.size_bytes, "sha256": file.digest}


def _target(name: str, output: str | os.PathLike[str] | None) -> Path:
    base_name = name.rpartition("/")[2]
    if output is None:
        return Path(base_name)
    asked = Path(output)
    return asked / base_name if asked.is_dir() or str(output).endswith(("/", os.sep)) else asked


def _targets(
    names: Sequence[str], folder: Path, output_paths: Sequence[str | os.PathLike[str]] | None
) -> Sequence[Path]:
    from runstream._transfer.places import Below, check_files

    if output_paths and len(output_paths) != len(names):
        raise UserErrorException(f"There are {len(names)} files and {len(output_paths)} output_paths.")
    below = Below(folder)
    targets = [Path(path) for path in output_paths] if output_paths else [below.place(name) for name in names]
    check_files(folder, targets)
    return targets


def _unknown(name: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
    return f"File {name!r} was not found in the run. It has {shown or 'no files'}."
