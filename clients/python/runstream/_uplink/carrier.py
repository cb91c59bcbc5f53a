"""Carries one spool to the services: its metrics, the files it wants followed, and the news of what was lost."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Final

from runstream._channel import Connection
from runstream._channel.tasks import end_tasks
from runstream._channel.tokens import Credential
from runstream._spool.artifacts import decode_artifact
from runstream._spool.events import Refusal, Stop, append_event
from runstream._spool.format import (
    ARTIFACT,
    END_RUN,
    FOLLOW_FILE,
    FOLLOW_FOLDER,
    MARK,
    MAX_DROPPED_METRICS,
    REFUSED,
    Header,
)
from runstream._spool.lock import is_locked
from runstream._spool.places import events_of, files_of, progress_of
from runstream._spool.progress import ProgressFile
from runstream._spool.reader import Damage, SpoolReader
from runstream._spool.records import EndOfRun, Record, decode_end, decode_follow, decode_mark, decode_refused
from runstream._spool.room import why
from runstream._uplink.append import AppendStream, Stopped
from runstream._uplink.artifacts import Artifacts
from runstream._uplink.doorbell import Doorbell
from runstream._uplink.ending import end_run
from runstream._uplink.followers import Client, Followers
from runstream._uplink.metrics import LOOK_SECONDS, MetricSource
from runstream._uplink.turns import earlier_spool, is_awaited
from runstream._uplink.warnings import RunWarnings
from runstream.exceptions import AuthenticationException

IDLE_SECONDS: Final = 3_600.0
"""How long a writer that lives may be silent before the uplink stops waiting for it."""

SEARCH_SECONDS: Final = 1.0
"""How often new files of followed folders are looked for where nothing tells of them."""
SETTLE_SECONDS: Final = 0.05
"""How old a new file becomes before it is looked for: what is renamed at once is not followed by two names."""

MAX_FOLDERS: Final = 100
"""Folders of a writer that the system is asked to watch: it has some thousand watches for all programs of a user."""

_logger = logging.getLogger(__name__)


class Carrier:
    """One spool on its way."""

    def __init__(
        self,
        spool: Path,
        doorbell: Doorbell,
        followers: Followers,
        address: str = "",
        credential: Credential | None = None,
    ) -> None:
        """Opens the spool, which goes to `address` if it is given, else to where the spool says, with a `credential`.

        Raises:
            OSError: It cannot be read, or its progress not be noted.
            SpoolDamaged: Its header cannot be read.
        """
        self._folder = spool.parent
        self._events = events_of(spool)
        self._reader = SpoolReader(spool)
        try:
            self._progress = ProgressFile(progress_of(spool))
        except BaseException:
            self._reader.close()
            raise
        self._bell = doorbell.bell(spool)
        self._folders_bell = doorbell.bell()
        self._followers = followers
        self._client = _client(self._reader.header, self._events, address, credential, self.stop)
        self._earlier = earlier_spool(spool)
        self._artifacts = Artifacts(self._client, files_of(spool), self, self._is_next)
        self._source = MetricSource(self._reader, self._progress, doorbell.bell(spool), self)
        self._end: EndOfRun | None = None
        self._mark = 0
        self._marked = asyncio.Event()
        self._stopped = asyncio.Event()
        self._is_denied = False

    @property
    def credential(self) -> Credential:
        """What it shows to the services."""
        return self._client.connection.credential

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do for so long that an uplink is not kept for it."""
        return self.rests(IDLE_SECONDS) and not self.serves

    @property
    def serves(self) -> bool:
        """Whether it follows files for its writer."""
        return self._followers.serves(self._client)

    @property
    def is_stuck(self) -> bool:
        """Whether all it waits for is services or a bucket that are away, to bring files there."""
        return self._source.is_settled and self._artifacts.is_failing

    @property
    def active_time(self) -> float:
        """When there was something to do for the last time, by the monotonic clock."""
        return self._source.active_time

    def rests(self, seconds: float) -> bool:
        """Whether everything that was logged arrived, and nothing more was logged for some seconds."""
        silent_seconds = time.monotonic() - self._source.active_time
        return silent_seconds > seconds and self._source.is_settled and self._artifacts.is_settled

    async def run(self) -> bool:
        """Returns when the writer is finished or dead; whether everything arrived.

        Files wait until those of the earlier spools of the process are stored, so that a metric keeps its order: where
        they are not, another turn brings them.
        """
        try:
            async with contextlib.AsyncExitStack() as beside:
                for work in (
                    self._tend(),
                    self._answer_flushes(),
                    self._client.warnings.send(),
                    self._artifacts.send(),
                ):
                    await beside.enter_async_context(_beside(work))
                arrived = await self._carry()
                if not self._is_next():
                    return False
                await self._artifacts.reach()
                if not self._source.goes_on:
                    await self._followers.release(self._client)
            self._warn_of_drops()
            if self._end is not None and not self._is_denied:
                await self._end_run(self._end)
            self._client.warnings.sum_up()
            await self._client.warnings.deliver()
            if denial := self._client.warnings.denial:
                self.stop(Stopped(denial.reason, denial.message))
            return arrived and not self._progress.progress.stopped
        finally:
            self._reader.close()
            self._progress.close()

    def take_record(self, record: Record) -> None:
        """Does what the writer asks for."""
        if record.type == MARK:
            self._mark = max(self._mark, decode_mark(record.body))
            self._marked.set()
        elif record.type == REFUSED:
            self._client.warnings.refused(decode_refused(record.body))
        elif record.type == ARTIFACT:
            self._artifacts.add(decode_artifact(record.body))
        elif record.type == END_RUN:
            self._end = decode_end(record.body)
        elif record.type == FOLLOW_FILE:
            log, local = decode_follow(record.body)
            self._followers.follow_file(self._client, log, self._folder / local)
        elif record.type == FOLLOW_FOLDER:
            prefix, folder = decode_follow(record.body)
            self._followers.follow_folder(self._client, prefix, self._folder / folder)
            self._folders_bell.ring()

    def take_damage(self, damage: Damage) -> None:
        """Warns of bytes that are no records."""
        count = damage.end - damage.start
        text = f"{count} bytes at offset {damage.start} of a spool are damaged and lost (writer {self._client.writer})."
        _logger.warning("%s", text)
        self._client.warnings.add(text)

    def take_refusal(self, refusal: Refusal) -> None:
        """Tells the writer and the run of values that are not stored."""
        with contextlib.suppress(OSError):
            append_event(self._events, refusal)
        self._client.warnings.refused(refusal)

    def _is_next(self) -> bool:
        return self._earlier is None or not is_awaited(self._earlier)

    async def _carry(self) -> bool:
        try:
            if await self._has_values():
                to = self._client.connection
                stream = AppendStream(to.metrics.WriteMetrics, self._source, to.channel, credential=to.credential)
                await stream.run()
        except Stopped as stopped:
            self.stop(stopped)
            await self._writer_leaves()
            return False
        return True

    async def _has_values(self) -> bool:
        """Waits for values to carry; false: there will be none, or nobody wants them."""
        finding = asyncio.create_task(self._source.has_values())
        stopping = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({finding, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return finding.done() and finding.result()
        finally:
            await end_tasks(finding, stopping)

    async def _end_run(self, end: EndOfRun) -> None:
        try:
            await end_run(self._client.connection, self._client.run, end, self._client.warnings)
        except AuthenticationException as error:
            self.stop(Stopped(error.reason, error.message))

    def stop(self, stopped: Stopped) -> None:
        """Notes that the services want nothing more of the writer."""
        if self._progress.progress.stopped:
            return
        self._is_denied = stopped.is_denial
        _logger.error("writer %s of %s: %s", self._client.writer, self._client.run, stopped)
        with contextlib.suppress(OSError):
            append_event(self._events, Stop(stopped.reason, str(stopped)))
        self._progress.save(self._progress.progress._replace(stopped=True))
        self._stopped.set()
        if not stopped.is_denial:
            self._client.warnings.add(f"What a process logged is not recorded any further: {stopped}")

    async def _writer_leaves(self) -> None:
        """Returns when nobody writes any more, or nothing is followed for who does."""
        while self._followers.serves(self._client) and is_locked(self._reader.fd):
            self._bell.arm()
            await self._bell.wait(LOOK_SECONDS)

    async def _tend(self) -> None:
        while True:
            await self._folders_bell.wait(SEARCH_SECONDS, blind_seconds=SEARCH_SECONDS)
            await asyncio.sleep(SETTLE_SECONDS)
            await self._search()
            drops = self._reader.drops()
            if drops.value_count:
                self._client.warnings.add(f"Values cannot be recorded and are lost{_why(drops.errno)}.")

    async def _search(self) -> None:
        self._folders_bell.arm()
        folders = await self._followers.search(self._client)
        if self._folders_bell.tell_of(folders[:MAX_FOLDERS]):
            self._folders_bell.ring()  # there may have been something new in it before it was watched

    async def _answer_flushes(self) -> None:
        while True:
            await self._marked.wait()
            self._marked.clear()
            mark = self._mark
            await self._artifacts.reach()
            await self._followers.reach(self._client)
            now = self._progress.progress
            if not now.stopped:
                self._progress.save(now._replace(mark=max(mark, now.mark)))

    def _warn_of_drops(self) -> None:
        drops = self._reader.drops()
        if drops.value_count:
            lost = f"{drops.value_count} values{_of_metrics(drops.metric_count)} were not recorded"
            self._client.warnings.add(f"{lost}{_why(drops.errno)} (writer {self._client.writer}).")


def _client(
    header: Header, events: Path, address: str, credential: Credential | None, deny: Callable[[Stopped], None]
) -> Client:
    connection = Connection.to(address or header.address, credential)
    warnings = RunWarnings(connection, header.run, events)
    return Client(header.writer, header.run, connection, warnings, header.first or header.writer, deny)


def _why(errno: int) -> str:
    return f": {why(errno)}" if errno else ""


def _of_metrics(count: int) -> str:
    if not count:
        return ""
    return " of 1 metric" if count == 1 else f" of {count}{' or more' * (count == MAX_DROPPED_METRICS)} metrics"


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Runs endless work while the context is open; where the work fails, so does the context."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        yield
        task.cancel()
