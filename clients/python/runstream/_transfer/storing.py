"""Brings small files into a workspace: some are read and hashed while those before them are asked for and sent."""

import asyncio
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from runstream._channel import Connection
from runstream._channel.threads import in_thread
from runstream._transfer.attempts import each
from runstream._transfer.contents import Content, Source, read
from runstream._transfer.known import missing_of
from runstream._transfer.progress import Meter
from runstream._transfer.small import messages_of, send_small

PIECES_AT_ONCE: Final = 3
"""Each holds the bytes of a message."""


class SmallFiles:
    """Small files on their way into a workspace. Each is read once, and what the workspace has is not sent."""

    def __init__(self, connection: Connection, workspace: str, meter: Meter) -> None:
        self._connection = connection
        self._workspace = workspace
        self._meter = meter
        self._reading = asyncio.Lock()
        self._taken: set[str] = set()

    async def store(self, files: Sequence[tuple[Source, int]]) -> list[str]:
        """Brings files in, of which the sizes are known; the digest of each.

        Raises:
            UserErrorException: A file cannot be read.
            ServiceException: The services failed; no such workspace.
        """
        found = await each(self._bring, messages_of(files, itemgetter(1)), PIECES_AT_ONCE)
        return [digest for some in found for digest in some]

    async def _bring(self, files: Sequence[tuple[Source, int]]) -> list[str]:
        async with self._reading:  # one piece after the other, so that the first is sent while the next is read
            contents = await in_thread(lambda: [read(*file) for file in files])
        fresh = {content.digest: content for content in contents if content.digest not in self._taken}
        self._taken.update(fresh)
        if fresh:
            await self._send(fresh)
        return [content.digest for content in contents]

    async def _send(self, contents: dict[str, Content]) -> None:
        missing = await missing_of(self._connection, self._workspace, list(contents))
        self._meter.expect(sum(contents[digest].size for digest in missing))
        await send_small(self._connection, self._workspace, [contents[digest] for digest in missing], self._meter)
