"""Follows local files and folders for the writers that asked for it."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from runstream._channel import Connection
from runstream._channel.tasks import end_tasks
from runstream._channel.tokens import Credential
from runstream._spool.values import cut
from runstream._uplink.append import AppendStream, Stopped
from runstream._uplink.doorbell import Doorbell
from runstream._uplink.folders import MAX_FILES, FoundFile, find_files
from runstream._uplink.logs import LogSource
from runstream._uplink.outputs import OutputSource, is_output
from runstream._uplink.warnings import RunWarnings
from runstream.api.logs.v1.log_service_pb2 import WriteLogRequest

RETRY_SECONDS: Final = (1.0, 5.0, 15.0)
"""Pauses after trouble with the disk in a row, before a file is given up."""
MAX_NAME_CHARACTERS: Final = 150
"""A warning has room for 300."""

_logger = logging.getLogger(__name__)


class Client(NamedTuple):
    """A writer that wants something followed."""

    writer: str
    run: str
    connection: Connection
    warnings: RunWarnings
    first: str
    """The first of the writers that one process is, one after the other: what one of them wants, all of them do."""
    deny: Callable[[Stopped], None] = lambda _: None
    """Called when the services refuse the token."""


class Key(NamedTuple):
    """What is followed: clients of one run that say the same want the same."""

    address: str
    run: str
    log: str
    local: Path


class Follower:
    """Carries one local file until no client wants it any more."""

    def __init__(self, log: str, source: LogSource, client: Client, earlier: "asyncio.Task[None] | None") -> None:
        self._log = log
        self._source = source
        self._connection = client.connection
        self._earlier = earlier
        self._stopped: Stopped | None = None
        self._clients = {client.first: client}
        self._last = client
        self.task = asyncio.create_task(self._carry(), name=f"follow {log}")
        """Ends when the whole file is acknowledged and nobody wants more, or the server wants no more."""

    @property
    def credential(self) -> Credential:
        """What it shows to the services."""
        return self._connection.credential

    @property
    def is_wanted(self) -> bool:
        """Whether any client wants it, and no token stands against it."""
        is_denied = self._stopped is not None and self._stopped.is_denial
        return bool(self._clients) and not (is_denied and self.task.done())

    def serves(self, client: Client) -> bool:
        """Whether a client wants it."""
        return client.first in self._clients

    def add(self, client: Client) -> None:
        """Carries the file for one more."""
        self._clients[client.first] = client
        self._warn([client])

    def remove(self, client: Client) -> None:
        """Carries the file for one less; without any, to its end."""
        self._clients.pop(client.first, None)
        if not self._clients:
            self._last = client
            self._source.end()

    async def reach(self) -> None:
        """Returns when the file as it is now is acknowledged, or will never be."""
        wanted = self._source.size
        while self._source.durable < wanted and not self.task.done():
            self._source.moved.clear()
            moved = asyncio.create_task(self._source.moved.wait())
            try:
                await asyncio.wait({moved, self.task}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end_tasks(moved)

    async def _carry(self) -> None:
        try:
            if self._earlier is not None:
                await asyncio.wait({self._earlier})
            await self._send_patiently()
        except Stopped as stopped:
            self._stop(stopped)
        except Exception as error:
            _logger.exception("%s cannot be followed", self._log)
            self._stop(Stopped("LOG_FAILED", str(error) or repr(error)))
        finally:
            self._source.close()

    async def _send_patiently(self) -> None:
        """Carries the file to its end, through trouble with the disk that passes."""
        pauses, durable = iter(RETRY_SECONDS), self._source.durable
        while True:
            try:
                return await self._send()
            except OSError as error:
                if self._source.durable > durable:
                    pauses, durable = iter(RETRY_SECONDS), self._source.durable
                if (pause := next(pauses, None)) is None:
                    raise
                _logger.warning("%s is tried again: %s", self._log, error)
                self._source.close()
                await asyncio.sleep(pause)

    async def _send(self) -> None:
        while await self._source.appears():
            try:
                await self._stream().run()
            except Stopped as stopped:
                if not self._source.goes_on_after(stopped):
                    raise
            else:
                self._source.remove()
                return

    def _stream(self) -> AppendStream[WriteLogRequest]:
        connection = self._connection
        return AppendStream(
            connection.logs.WriteLog, self._source, connection.channel, credential=connection.credential
        )

    def _stop(self, stopped: Stopped) -> None:
        self._stopped = stopped
        self._warn(list(self._clients.values()) or [self._last])

    def _warn(self, clients: list[Client]) -> None:
        for client in clients:
            if self._stopped is None:
                continue
            if self._stopped.is_denial:
                client.deny(self._stopped)
            else:
                client.warnings.add(f"Log file {self._log!r} is not recorded any further: {self._stopped}")


class Followers:
    """All files and folders that are followed, each once however many writers want it."""

    def __init__(self, doorbell: Doorbell) -> None:
        self._doorbell = doorbell
        self._files: dict[Key, Follower] = {}
        self._folders: dict[Key, set[str]] = {}
        self._failed: set[Key] = set()

    @property
    def credentials(self) -> set[Credential]:
        """What files are carried with."""
        return {follower.credential for follower in self._files.values()}

    def follow_file(self, client: Client, log: str, local: Path) -> None:
        """Follows a file for a client."""
        key = Key(client.connection.address, client.run, log, local)
        known = self._files.get(key)
        if known is not None and known.is_wanted:
            known.add(client)
            return
        make = OutputSource if is_output(local) else LogSource
        source = make(client.run, log, local, self._doorbell.bell(local))
        self._files[key] = Follower(log, source, client, known.task if known else None)

    def follow_folder(self, client: Client, prefix: str, folder: Path) -> None:
        """Follows a folder for a client that calls `search` again and again."""
        key = Key(client.connection.address, client.run, prefix.strip("/"), folder)
        self._folders.setdefault(key, set()).add(client.first)

    def serves(self, client: Client) -> bool:
        """Whether a client wants anything followed."""
        return bool(self._files_of(client) or self._folders_of(client))

    async def search(self, client: Client) -> list[Path]:
        """Follows what is new in the folders of a client; one that cannot be searched is left for the next time.

        Returns:
            The folders that there are, those inside of others included.
        """
        folders: list[Path] = []
        for key in self._folders_of(client):
            try:
                found, seen = await asyncio.to_thread(find_files, key.log, key.local)
            except (OSError, ValueError) as error:
                self._log_once(key, error)
            else:
                self._follow_found(client, key, found)
                folders += seen
        return folders

    async def reach(self, client: Client) -> None:
        """Returns when the files of a client as they are now are acknowledged."""
        await self.search(client)
        await asyncio.gather(*(follower.reach() for follower in self._files_of(client).values()))

    async def release(self, client: Client) -> None:
        """Returns when the files that only this client wants are carried to their ends."""
        await self.search(client)
        for key in self._folders_of(client):
            self._leave_folder(key, client)
        left = self._files_of(client)
        for follower in left.values():
            follower.remove(client)
        for key, follower in left.items():
            await self._end(key, follower)

    async def close(self) -> None:
        """Leaves everything where it is."""
        tasks = [follower.task for follower in self._files.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self, key: Key, follower: Follower) -> None:
        if follower.is_wanted:
            return
        await asyncio.wait({follower.task})
        if self._files.get(key) is follower:
            self._files.pop(key)

    def _follow_found(self, client: Client, key: Key, found: list[FoundFile]) -> None:
        for log, local in found[:MAX_FILES]:
            self.follow_file(client, log, local)
        if len(found) > MAX_FILES:
            name = cut(str(key.local), MAX_NAME_CHARACTERS)
            client.warnings.add(f"Folder {name!r} has more than {MAX_FILES:,} files; the others are not recorded.")

    def _log_once(self, key: Key, error: Exception) -> None:
        if key not in self._failed:
            self._failed.add(key)
            _logger.warning("%s cannot be searched: %s", key.local, error)

    def _leave_folder(self, key: Key, client: Client) -> None:
        self._folders[key].discard(client.first)
        if not self._folders[key]:
            self._folders.pop(key)

    def _files_of(self, client: Client) -> dict[Key, Follower]:
        return {key: follower for key, follower in self._files.items() if follower.serves(client)}

    def _folders_of(self, client: Client) -> list[Key]:
        return [key for key, writers in self._folders.items() if client.first in writers]
