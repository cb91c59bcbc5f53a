"""The files of a run."""

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Generic

from runstream._channel.address import OFFLINE
from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts_api
from runstream.core._forms import E, R, W
from runstream.core._run.logs import LogCalls, stored_log
from runstream.core._surface import dual
from runstream.exceptions import ServiceException, UserErrorException

PAGE_SIZE = 10_000
SHOWN_NAMES = 20

Source = str | os.PathLike[str] | IO[bytes]


class FileCalls(LogCalls[W, E, R], Generic[W, E, R]):
    """Uploads and downloads files. A file is known by its path in the run, with forward slashes: `outputs/a.pkl`."""

    @dual
    async def upload_file(self, name: str, path_or_stream: Source, datastore_name: str | None = None) -> None:
        """Stores a local file, or what a binary stream holds, as the file `name` of the run.

            run.upload_file("outputs/model.pkl", "model.pkl")

        Storing the same bytes under the same name again is accepted.

        Raises:
            UserErrorException: There is no such local file, or the run has another file of this name.
        """
        await self._upload([(name, _local(path_or_stream))])

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

        With `return_artifacts` it returns what was stored, by name.

        Raises:
            TypeError: `names` and `paths` differ in length.
            UserErrorException: As for `upload_file`.
        """
        if len(names) != len(paths):
            raise TypeError(f"names and paths differ in length: {len(names)} and {len(paths)}")
        await self._upload([(name, _local(path)) for name, path in zip(names, paths, strict=True)])
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
        await self._upload(files_below(name, _local_folder(path)))

    @dual
    async def download_file(
        self, name: str, output_file_path: str | os.PathLike[str] | None = None, _validate_checksum: bool = False
    ) -> None:
        """Writes a file of the run to this machine, and checks that its bytes are those that were stored.

            run.download_file("outputs/model.pkl")                 # ./model.pkl
            run.download_file("outputs/model.pkl", "models/")      # models/model.pkl, if models is a folder

        Missing folders are made.

        Raises:
            UserErrorException: The run has no file of this name; the message lists those it has.
        """
        names = await self._file_names()
        found = stored_log(name, names)
        if found not in names:
            raise UserErrorException(_unknown(name, names))
        await self._download(found, _target(name, output_file_path))

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
        each file instead, in the order of `get_file_names()`. Nothing below the prefix is no error.
        """
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        names = [name for name in await self._file_names() if name.startswith(folder)]
        shown = names if append_prefix else [name.removeprefix(folder) for name in names]
        base = Path(output_directory or ".")
        targets = [Path(path) for path in output_paths] if output_paths else [base / inside(path) for path in shown]
        if len(targets) != len(names):
            raise UserErrorException(f"There are {len(names)} files and {len(targets)} output_paths.")
        for name, target in zip(names, targets, strict=True):
            await self._download(name, target)

    @dual
    async def get_file_names(self) -> list[str]:
        """The names of all files of the run, its logs included, in ascending order."""
        return await self._file_names()

    async def _file_names(self) -> list[str]:
        stored = {artifact.path for artifact in await self._list_artifacts()}
        return sorted(stored | {log.path for log in await self._list_logs()})

    async def _list_artifacts(self) -> list[artifacts_api.Artifact]:
        connection = self._connection()
        request = artifacts_api.ListArtifactsRequest(parent=self._record.name, page_size=PAGE_SIZE)
        found: list[artifacts_api.Artifact] = []
        while True:
            response = await connection.call(connection.artifacts.ListArtifacts, request)
            found.extend(response.artifacts)
            request.page_token = response.next_page_token
            if not request.page_token:
                return found

    async def _upload(self, files: Sequence[tuple[str, Path | bytes]]) -> None:
        from runstream._journal.connection import OfflineConnection
        from runstream._transfer import upload

        if not files:
            return
        if self._workspace._address == OFFLINE:
            OfflineConnection.shared().keep_files(self._record.name, files)
            return
        try:
            await upload(self._connection(), self._record.name, files)
        except UserErrorException as error:
            if error.reason != "ARTIFACT_EXISTS":
                raise
            raise UserErrorException(
                f"Resource Conflict: the artifact already exists with other content. {error.message}",
                error,
                reason=error.reason,
                metadata=error.metadata,
            ) from None

    async def _download(self, name: str, target: Path) -> None:
        from runstream._transfer import download

        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            await download(self._connection(), self._record.name, name, target)
        except ServiceException as error:
            if error.status_code != 404:
                raise
            await self._download_log(name, target)

    async def _download_log(self, path: str, target: Path) -> None:
        with replacing(target) as file:
            async for response in self._read_log(path):
                file.write(response.data)

    async def _upload_outputs(self) -> None:
        if self._outputs is not None and self._outputs.folder.is_dir():
            await self._upload(files_below(self._outputs.prefix, self._outputs.folder))


def _local(source: object) -> Path | bytes:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            raise UserErrorException(f"There is no file {path}.")
        return path
    read = getattr(source, "read", None)
    content = read() if callable(read) else None
    if not isinstance(content, bytes):
        raise UserErrorException(f"A path or a binary stream can be uploaded, not {type(source).__name__}.")
    return content


def _local_folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise UserErrorException(f"There is no folder {folder}.")
    return folder


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes `target` when it is complete and vanishes when it is not."""
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def files_below(prefix: str, folder: Path) -> list[tuple[str, Path | bytes]]:
    """The files of a folder, each with its name in the run; `prefix` is the name of the folder there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    start = f"{prefix.rstrip('/')}/" if prefix else ""
    return [(start + path.relative_to(folder).as_posix(), path) for path in files]


def _describe(file: artifacts_api.Artifact) -> dict[str, Any]:
    return {"path": file.path, "size": file.size_bytes, "sha256": file.digest}


def _target(name: str, output: str | os.PathLike[str] | None) -> Path:
    base_name = name.rpartition("/")[2]
    if output is None:
        return Path(base_name)
    asked = Path(output)
    return asked / base_name if asked.is_dir() or str(output).endswith(("/", os.sep)) else asked


def inside(path: str) -> str:
    """A file name as a local path, which cannot lead out of the folder it is appended to."""
    if path.startswith("/") or ".." in path.split("/"):
        raise UserErrorException(f"The file name {path!r} cannot be written below a folder.")
    return path


def _unknown(name: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
    return f"File {name!r} was not found in the run. It has {shown or 'no files'}."
