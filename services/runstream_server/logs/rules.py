"""What the log service does."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime

from runstream_server.appendstreams import AppendKey, Opening, WriterDiverged
from runstream_server.errors import BucketUnavailable, DataLoss
from runstream_server.logs.aliases import candidates
from runstream_server.logs.append_store import LogAppendStore
from runstream_server.logs.chunks import encode_text
from runstream_server.logs.counting import count_line_feeds
from runstream_server.logs.errors import LogExpired, LogNotFound, WriterMismatch
from runstream_server.logs.model import EncodedText, LogFile, LogText, ReadSpan, TextSlice
from runstream_server.logs.reading import LogReader
from runstream_server.logs.store import LogStore
from runstream_server.names import RunName

logger = logging.getLogger(__name__)

_DIGESTED_BYTES = 4_096
_ENCODED_ON_THE_LOOP_BYTES = 16 * 1024


class Logs:
    """The rules of logs."""

    def __init__(
        self, appends: LogAppendStore, store: LogStore, reader: LogReader, now: Callable[[], datetime]
    ) -> None:
        self._appends = appends
        self._store = store
        self._reader = reader
        self._now = now

    async def open_file(self, key: AppendKey, writer: str, believed: int, digest: bytes) -> Opening:
        """Opens a stream to a file, made if there is none, and fences its older ones.

        Raises:
            WriterMismatch: Another writer owns the file.
            WriterDiverged: The last durable bytes are other ones than the client believes.
        """
        opening = await self._appends.create(key, writer) if believed == 0 else None
        if opening is not None:
            return opening
        file = await self._store.find(key.run_name, [key.name])
        if file is None:
            raise WriterDiverged(believed, 0)
        if file.writer != writer:
            raise WriterMismatch(key.name)
        if await self._diverged(file, believed, digest):
            raise WriterDiverged(believed, file.size_bytes)
        opening = await self._appends.open(key, writer, believed)
        if opening is None:
            raise WriterDiverged(believed, file.size_bytes)
        return opening

    async def _diverged(self, file: LogFile, believed: int, digest: bytes) -> bool:
        """Whether the bytes are known to be other ones than a writer believes."""
        if not digest or believed > file.size_bytes or file.expire_time is not None:
            return False
        hasher, start = hashlib.sha256(), max(believed - _DIGESTED_BYTES, 0)
        try:
            async with aclosing(self._reader.read_bytes(file, start, believed)) as parts:
                async for part in parts:
                    hasher.update(part.data)
        except (BucketUnavailable, DataLoss) as error:
            logger.warning("log not compared", extra={"run": str(file.run), "path": file.path, "reason": error.reason})
            return False  # what is sealed cannot be read now, and must not keep anybody from writing
        return hasher.digest() != digest

    async def prepare(self, text: LogText) -> EncodedText:
        """Encodes text, a large piece in a thread."""
        now = self._now()
        if len(text.data) <= _ENCODED_ON_THE_LOOP_BYTES:
            return _encoded(text, now)
        return await asyncio.to_thread(_encoded, text, now)

    async def list_files(self, run: RunName, after: str, count: int) -> Sequence[LogFile]:
        """Returns up to `count` files of a run with paths after `after`, in order of path."""
        return await self._store.list_files(run, after, count)

    async def read(
        self, run: RunName, path: str, span: ReadSpan, *, with_marks: bool
    ) -> AsyncGenerator[TextSlice, None]:
        """Yields a part of a file in order, as long as it was at the beginning; the path may be an alias.

        Raises:
            LogNotFound: The run has no such log.
            LogExpired: It was removed.
        """
        file = await self._store.find(run, candidates(path))
        if file is None:
            raise LogNotFound(run, path)
        if file.expire_time is not None:
            raise LogExpired(run, path)
        async with aclosing(self._reader.read(file, span, with_marks=with_marks)) as parts:
            async for part in parts:
                yield part


def _encoded(text: LogText, now: datetime) -> EncodedText:
    return EncodedText(
        size_bytes=len(text.data),
        line_feeds=count_line_feeds(text.data),
        write_time=text.write_time or now,
        receive_time=now,
        content=encode_text(text.data),
    )
