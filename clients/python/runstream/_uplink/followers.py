"""Follows local files and folders for the writers that asked for it."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Final, NamedTuple

from runstream._channel import Connection
from runstream._uplink.append import AppendStream, Stopped
from runstream._uplink.doorbell import Doorbell
from runstream._uplink.logs import LogSource
from runstream._uplink.warnings import RunWarnings

SEARCH_SECONDS: Final = 1.0
"""How often new files of a folder are looked for."""
MAX_FILES: Final = 1_000
"""Files of one folder that are followed."""

_logger = logging.getLogger(__name__)


class Client(NamedTuple):
    """A writer that wants something followed."""

    writer: str
    run: str
    connection: Connection
    warnings: RunWarnings


class Key(NamedTuple):
    """What is followed: clients of one run that say the same want the same."""

    address: str
    run: str
    log: str
    local: Path


class Follower:
    """Carries one local file until no client wants it any more."""

    def __init__(self, log: str, source: LogSource, client: Client, after: "Follower | None") -> None:
        self._log = log
        self._source = source
        self._client = client
        self._after = after
        self.writers: set[str] = set()
        """Who wants it; nobody: it goes to its end."""
        self.task = asyncio.create_task(self._carry(), name=f"follow {log}")
        """Ends when the whole file is acknowledged and nobody wants more, or the server wants no more."""

    def add(self, client: Client) -> None:
        """Carries the file for one more."""
        self._client = client
        self.writers.add(client.writer)

    def remove(self, client: Client) -> None:
        """Carries the file for one less; without any, to its end."""
        self.writers.discard(client.writer)
        if not self.writers:
            self._client = client
            self._source.end()

    async def reach(self) -> None:
        """Returns when the file as it is now is acknowledged, or will never be."""
        wanted = self._source.size
        while self._source.durable < wanted and not self.task.done():
            self._source.moved.clear()
            moved = asyncio.create_task(self._source.moved.wait())
            await asyncio.wait({moved, self.task}, return_when=asyncio.FIRST_COMPLETED)
            moved.cancel()

    async def _carry(self) -> None:
        connection = self._client.connection
        if self._after is not None:
            await asyncio.wait({self._after.task})
        try:
            if await self._source.appears():
                await AppendStream(connection.logs.WriteLog, self._source, connection.channel).run()
        except Stopped as stopped:
            self._client.warnings.add(f"Log file {self._log!r} is not recorded any further: {stopped}")
        except Exception as error:
            _logger.exception("a log file cannot be carried", extra={"log": self._log})
            self._client.warnings.add(f"Log file {self._log!r} is not recorded any further: {error!r}")
        finally:
            self._source.close()


class Followers:
    """All files and folders that are followed, each once however many writers want it."""

    def __init__(self, doorbell: Doorbell) -> None:
        self._doorbell = doorbell
        self._files: dict[Key, Follower] = {}
        self._folders: dict[Key, set[str]] = {}

    @property
    def tasks(self) -> list["asyncio.Task[None]"]:
        """One for each file."""
        return [follower.task for follower in self._files.values()]

    def follow_file(self, client: Client, log: str, local: Path) -> None:
        """Follows a file for a client."""
        key = Key(client.connection.address, client.run, log, local)
        follower = self._files.get(key)
        if follower is None or not follower.writers:
            source = LogSource(client.run, log, local, self._doorbell.bell(local))
            follower = self._files[key] = Follower(log, source, client, after=follower)
        follower.add(client)

    def follow_folder(self, client: Client, prefix: str, folder: Path) -> None:
        """Follows a folder for a client that calls `search` now and then."""
        key = Key(client.connection.address, client.run, prefix.strip("/"), folder)
        self._folders.setdefault(key, set()).add(client.writer)

    def follows_for(self, client: Client) -> bool:
        """Whether a client wants anything followed."""
        return any(client.writer in it.writers for it in self._files.values()) or bool(self._folders_of(client))

    async def search(self, client: Client) -> None:
        """Follows what is new in the folders of a client."""
        for key in self._folders_of(client):
            for log, local in await asyncio.to_thread(_search, key.log, key.local):
                self.follow_file(client, log, local)

    async def reach(self, client: Client) -> None:
        """Returns when the files of a client as they are now are acknowledged."""
        await self.search(client)
        wanted = [follower for follower in self._files.values() if client.writer in follower.writers]
        await asyncio.gather(*(follower.reach() for follower in wanted))

    async def release(self, client: Client) -> None:
        """Returns when the files that only this client wants are carried to their ends."""
        await self.search(client)
        for key in self._folders_of(client):
            self._folders[key].discard(client.writer)
        left = {key: it for key, it in self._files.items() if client.writer in it.writers}
        for follower in left.values():
            follower.remove(client)
        for key, follower in left.items():
            if not follower.writers:
                await asyncio.wait({follower.task})
                if self._files[key] is follower:
                    del self._files[key]

    def _folders_of(self, client: Client) -> list[Key]:
        return [key for key, writers in self._folders.items() if client.writer in writers]


def _search(prefix: str, root: Path) -> list[tuple[str, Path]]:
    """The files of a folder with their log paths, up to `MAX_FILES`; not what is hidden or in hidden folders."""
    found: list[tuple[str, Path]] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                found.append(("/".join(filter(None, (prefix, path.relative_to(root).as_posix()))), path))
        if len(found) >= MAX_FILES:
            break
    return found[:MAX_FILES]
