"""Zip archives, made while they are read."""

import asyncio
import stat
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from io import RawIOBase

from runstream_server.artifacts.snapshot_model import SnapshotEntry

_PIECE_BYTES = 1 << 18
_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_LEVEL = 1


class _Sink(RawIOBase):
    """Holds what was written until it is taken."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self._held += view
        return view.nbytes

    def take(self) -> Iterator[bytes]:
        """Yields what is held, in pieces of at most 256 KiB."""
        while self._held:
            piece = bytes(self._held[:_PIECE_BYTES])
            del self._held[:_PIECE_BYTES]
            yield piece


class Archive:
    """A zip archive of which nothing is held but the names. The same entries give the same bytes."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", allowZip64=True)

    async def add_small(self, files: Sequence[tuple[SnapshotEntry, bytes | None]]) -> Sequence[bytes]:
        """Adds folders, and files of a few MiB together, compressed; returns what the archive grows by."""
        return await asyncio.to_thread(self._add_small, files)

    def _add_small(self, files: Sequence[tuple[SnapshotEntry, bytes | None]]) -> Sequence[bytes]:
        for entry, data in files:
            kind = zipfile.ZIP_DEFLATED if data else zipfile.ZIP_STORED
            self._zip.writestr(_info(entry), data or b"", kind, _LEVEL)
        return list(self._sink.take())

    async def add_large(self, entry: SnapshotEntry, blocks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Adds a file as it is; yields what the archive grows by. To be closed before the archive is."""
        info = _info(entry)
        with self._zip.open(info, "w", force_zip64=info.file_size > zipfile.ZIP64_LIMIT // 2) as file:
            async for block in blocks:
                await asyncio.to_thread(file.write, block)
                for piece in self._sink.take():
                    yield piece
        for piece in self._sink.take():
            yield piece

    def finish(self) -> Iterator[bytes]:
        """Yields the end of the archive: the list of what is in it."""
        self.close()
        yield from self._sink.take()

    def close(self) -> None:
        """Ends the archive, whether anybody wants its end or not."""
        self._zip.close()


def _info(entry: SnapshotEntry) -> zipfile.ZipInfo:
    """What the archive says of an entry."""
    info = zipfile.ZipInfo(entry.path if entry.blob else f"{entry.path}/", _TIME)
    info.create_system = _UNIX
    if entry.blob is None:
        info.external_attr = (stat.S_IFDIR | 0o755) << 16 | 0x10
    else:
        info.external_attr = (stat.S_IFREG | (0o755 if entry.executable else 0o644)) << 16
        info.file_size = entry.blob.size_bytes
    return info
