"""Sends a huge file while it is hashed, which takes a second for each GiB of it."""

import asyncio
import os
from contextlib import closing
from pathlib import Path

from runstream._channel import Connection
from runstream._channel.tasks import end_tasks
from runstream._channel.threads import in_thread
from runstream._transfer.contents import Content, changed
from runstream._transfer.http import HttpClient
from runstream._transfer.known import missing_of
from runstream._transfer.large import LargeUpload
from runstream._transfer.looking import looked_at
from runstream._transfer.progress import Meter, Moved
from runstream._transfer.settings import Settings


async def send_eagerly(connection: Connection, workspace: str, file: Path, settings: Settings, meter: Meter) -> str:
    """Brings a file into a workspace; its digest. When it turns out that the bytes are known, sending stops.

    Raises:
        UserErrorException: It was changed meanwhile, or cannot be read.
        ServiceException: The services or the bucket failed; no such workspace.
    """
    unhashed = await in_thread(_unhashed, file)
    meter.expect(unhashed.size)
    moved = Moved(meter)
    hashing = asyncio.ensure_future(_hash(unhashed))
    room = asyncio.Semaphore(settings.at_once)
    with closing(HttpClient()) as http:
        upload = LargeUpload(connection, workspace, unhashed, http, room, hashing)
        sending = asyncio.ensure_future(upload.run(settings, moved))
        try:
            digest = await hashing
            if await missing_of(connection, workspace, [digest]):
                await sending
                return digest
        finally:
            await end_tasks(hashing, sending)
    await upload.abort()
    meter.advance(unhashed.size - moved.size)
    return digest


async def _hash(unhashed: Content) -> str:
    content = await looked_at(unhashed.source)
    if content.size != unhashed.size:
        raise changed(str(unhashed.source))
    return content.digest


def _unhashed(file: Path) -> Content:
    """A file by its version in the place of its digest: so an upload of it is found again."""
    status = file.stat()
    version = (os.path.realpath(file), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return Content(file, "\n".join(map(str, version)), status.st_size)
