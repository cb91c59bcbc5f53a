"""The archive of a snapshot: fetches, checks and unpacks it."""

import hashlib
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from runstream._channel import Connection
from runstream._channel.pages import pages
from runstream._channel.threads import in_thread
from runstream._transfer.attempts import persist, tried_again
from runstream._transfer.http import TransferFailed
from runstream._transfer.partial import replacing, write_whole
from runstream._transfer.places import Below, check_distinct
from runstream._transfer.settings import DEFAULT
from runstream.api.artifacts.v1.artifact_service_pb2 import (
    ListSnapshotEntriesRequest,
    ReadSnapshotRequest,
    SnapshotEntry,
)
from runstream.exceptions import SnapshotException

PAGE_SIZE: Final = 10_000
BLOCK_BYTES: Final = 1024 * 1024
SMALL_BYTES: Final = 1024 * 1024
"""A file of up to this size is read and written as a whole."""


async def fetch_archive(connection: Connection, snapshot: str, target: Path, attempts: int = DEFAULT.attempts) -> None:
    """Writes the archive of a snapshot to a file, which appears when all of it is there and every file in it is right.

    Raises:
        ServiceException: There is no such snapshot (status 404), or the services failed.
        OSError: The file cannot be written.
    """
    entries = await _list_entries(connection, snapshot)
    await in_thread(target.parent.mkdir, parents=True, exist_ok=True)
    with replacing(target) as file:

        async def attempt() -> None:
            file.seek(0)
            file.truncate()
            await _read(connection, snapshot, file)
            await in_thread(_check, Path(file.name), entries)

        await persist(attempt, attempts)


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Writes the files of an archive below a folder, which is made; the files, in the order of the archive.

    Raises:
        SnapshotException: The archive is damaged, or none of a snapshot.
        UserErrorException: Something in it leads out of the folder, or two files have one place there.
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _opened(archive) as opened:
        members = opened.infolist()
        below = Below(folder)
        places = {member.filename: below.place(member.filename.removesuffix("/")) for member in members}
        if len(places) < len(members):
            raise SnapshotException(f"{archive} has the same name twice.")
        check_distinct(folder, places.values())
        for parent in {place.parent for place in places.values()}:
            parent.mkdir(parents=True, exist_ok=True)
        for member in members:
            _write(opened, member, places[member.filename])
        return [places[member.filename] for member in members if not member.is_dir()]


async def _list_entries(connection: Connection, snapshot: str) -> list[SnapshotEntry]:
    request = ListSnapshotEntriesRequest(parent=snapshot, page_size=PAGE_SIZE)
    listed = pages(connection, connection.artifacts.ListSnapshotEntries, request)
    return [entry async for page in listed for entry in page.entries]


async def _read(connection: Connection, snapshot: str, file: IO[bytes]) -> None:
    with tried_again():
        async for response in connection.stream(connection.artifacts.ReadSnapshot, ReadSnapshotRequest(name=snapshot)):
            await in_thread(file.write, response.data)
    await in_thread(file.flush)


def _check(file: Path, entries: Iterable[SnapshotEntry]) -> None:
    """Sees that an archive has what it should have.

    Raises:
        TransferFailed: It has not.
    """
    wanted = {entry.path: entry for entry in entries if not entry.folder}
    try:
        with zipfile.ZipFile(file) as archive:
            found = {member.filename: member for member in archive.infolist() if not member.is_dir()}
            is_right = found.keys() == wanted.keys() and all(
                member.file_size == wanted[path].size_bytes and _digest(archive, member) == wanted[path].digest
                for path, member in found.items()
            )
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise TransferFailed(f"the archive is damaged: {error}", transient=True) from error
    if not is_right:
        raise TransferFailed("the archive has other files than the snapshot", transient=True)


def _digest(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    with archive.open(member) as file:
        digest = hashlib.sha256()
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
        return digest.hexdigest()


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise SnapshotException(f"{archive} is no archive of a snapshot: {error}.") from None


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise SnapshotException(f"{member.filename} in the archive is no file.")
    if member.file_size <= SMALL_BYTES:
        with _read_well(member):
            data = archive.read(member)
        write_whole(target, data, executable=bool(mode & stat.S_IXUSR))
        return
    with replacing(target) as file:
        with _read_well(member), archive.open(member) as source:
            shutil.copyfileobj(source, file, BLOCK_BYTES)
        if mode & stat.S_IXUSR:
            target_mode = stat.S_IMODE(Path(file.name).stat().st_mode)
            Path(file.name).chmod(target_mode | (target_mode & 0o444) >> 2)


@contextmanager
def _read_well(member: zipfile.ZipInfo) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, EOFError, ValueError, zlib.error) as error:
        raise SnapshotException(f"{member.filename} in the archive is damaged: {error}.") from None
