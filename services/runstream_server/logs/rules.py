"""What the log service does."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime

from runstream_server.appendstreams import AppendKey, Opening, WriterDiverged
from runstream_server.logs.aliases import candidates
from runstream_server.logs.chunks import encode_text
from runstream_server.logs.errors import LogNotFound, WriterMismatch
from runstream_server.logs.model import EncodedText, LogFile, LogText, TextSlice
from runstream_server.logs.slices import slices
from runstream_server.logs.store import LogStore
from runstream_server.names import RunName

_DIGESTED_BYTES = 4_096
_ENCODED_ON_THE_LOOP_BYTES = 16 * 1024


class Logs:
    """The rules of logs."""

    def __init__(self, store: LogStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def open_file(self, key: AppendKey, writer: str, believed: int, digest: bytes) -> Opening:
        """Opens a stream to a file, made if there is none, and fences its older ones.

        Raises:
            WriterMismatch: Another writer owns the file.
            WriterDiverged: The last durable bytes are other ones than the client believes.
        """
        opening = await self._store.create(key, writer) if believed == 0 else None
        if opening is not None:
            return opening
        file = await self._store.find(key.run_name, [key.name])
        if file is None:
            raise WriterDiverged(believed, 0)
        if file.writer != writer:
            raise WriterMismatch(key.name)
        if digest and believed <= file.size_bytes and await self._digest(file, believed) != digest:
            raise WriterDiverged(believed, file.size_bytes)
        opening = await self._store.open(key, writer, believed)
        if opening is None:
            raise WriterDiverged(believed, file.size_bytes)
        return opening

    async def _digest(self, file: LogFile, end: int) -> bytes:
        digest = hashlib.sha256()
        async for part in self.read_file(file, max(end - _DIGESTED_BYTES, 0), end):
            digest.update(part.data)
        return digest.digest()

    async def prepare(self, text: LogText) -> EncodedText:
        """Encodes text, a large piece in a thread."""
        write_time = text.write_time or self._now()
        if len(text.data) <= _ENCODED_ON_THE_LOOP_BYTES:
            return EncodedText(len(text.data), write_time, encode_text(text.data))
        return EncodedText(len(text.data), write_time, await asyncio.to_thread(encode_text, text.data))

    async def list_files(self, run: RunName, after: str, count: int) -> Sequence[LogFile]:
        """Returns up to `count` files of a run with paths after `after`, in order of path."""
        return await self._store.list_files(run, after, count)

    async def find(self, run: RunName, path: str) -> LogFile | None:
        """Returns the file that a path or an alias means."""
        return await self._store.find(run, candidates(path))

    async def read(self, run: RunName, path: str, start: int, end: int) -> AsyncGenerator[TextSlice, None]:
        """Yields bytes of a file in order, as long as it was at the beginning; the path may be an alias.

        A negative `start` counts from the end; `end` 0 is the end.

        Raises:
            LogNotFound: The run has no such log.
        """
        file = await self.find(run, path)
        if file is None:
            raise LogNotFound(run, path)
        first = start if start >= 0 else max(file.size_bytes + start, 0)
        async for part in self.read_file(file, first, min(end or file.size_bytes, file.size_bytes)):
            yield part

    async def read_file(self, file: LogFile, start: int, end: int) -> AsyncGenerator[TextSlice, None]:
        """Yields the durable bytes of a file from `start` to before `end`, in order."""
        while start < end:
            chunks = await self._store.read(file, start, end)
            for part in await asyncio.to_thread(slices, chunks, start, end):
                yield part
                start = part.end_offset
