"""Carries one spool: its metrics, the files it asks for, and what is to be said about it."""

import asyncio
import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Final

from runstream._channel import Connection
from runstream._spool.events import Refusal, Stop, append_event
from runstream._spool.format import FOLLOW_FILE, FOLLOW_FOLDER, MARK, REFUSED
from runstream._spool.places import events_of, progress_of
from runstream._spool.progress import ProgressFile
from runstream._spool.reader import Damage, SpoolReader
from runstream._spool.records import Record, decode_follow, decode_mark, decode_refused
from runstream._uplink.append import AppendStream, Stopped
from runstream._uplink.doorbell import Doorbell
from runstream._uplink.followers import Client, Followers
from runstream._uplink.metrics import MetricSource
from runstream._uplink.warnings import RunWarnings

TEND_SECONDS: Final = 1.0
"""How often new files of followed folders are looked for, and what the writer had to drop."""

_logger = logging.getLogger(__name__)


class Carrier:
    """Carries one spool to its end and removes it then. It never raises: a spool in trouble stays."""

    def __init__(self, spool: Path, doorbell: Doorbell, followers: Followers) -> None:
        """Opens the spool.

        Raises:
            OSError: It or what belongs to it cannot be opened.
            SpoolDamaged: Its header cannot be read.
        """
        self._spool = spool
        self._followers = followers
        self._reader = SpoolReader(spool)
        self._progress = ProgressFile(progress_of(spool))
        header = self._reader.header
        connection = Connection.to(header.address)
        warnings = RunWarnings(connection, header.run, events_of(spool))
        self._client = Client(header.writer, header.run, connection, warnings)
        self._warnings = warnings
        self._marks: set[asyncio.Task[None]] = set()
        self._source = MetricSource(self._reader, self._progress, doorbell.bell(spool), self)

    @property
    def idle_seconds(self) -> float:
        """How long there has been nothing to do; 0: there is, or files are followed."""
        if not self._source.is_settled or self._followers.follows_for(self._client):
            return 0.0
        return time.monotonic() - self._source.active_time

    async def run(self) -> None:
        """Returns when the spool is carried to its end, or cannot be."""
        chores = [asyncio.create_task(self._warnings.send()), asyncio.create_task(self._tend())]
        try:
            self._progress.save(self._progress.progress._replace(stopped=False))
            await self._carry()
        except Stopped as stopped:
            await self._stop(stopped)
        except Exception as error:
            _logger.exception("a spool cannot be carried", extra={"spool": self._spool.name})
            await self._stop(Stopped("DEFECT", repr(error)))
        else:
            self._remove()
        finally:
            await cancel([*chores, *self._marks])
            self._reader.close()
            self._progress.close()

    def take_record(self, record: Record) -> None:
        """Does what a record of the writer asks for."""
        if record.type in (FOLLOW_FILE, FOLLOW_FOLDER):
            log, local = decode_follow(record.body)
            follow = self._followers.follow_file if record.type == FOLLOW_FILE else self._followers.follow_folder
            follow(self._client, log, Path(local))
        elif record.type == REFUSED:
            self._warnings.refused(decode_refused(record.body))
        elif record.type == MARK and (number := decode_mark(record.body)) > self._progress.progress.mark:
            self._marks.add(asyncio.create_task(self._reach(number)))

    def take_damage(self, damage: Damage) -> None:
        """Reports bytes of the spool that are lost."""
        count = damage.end - damage.start
        _logger.warning("the spool %s is damaged: %d bytes at offset %d", self._spool.name, count, damage.start)
        self._warnings.add(
            f"A spool is damaged: {count} bytes at offset {damage.start} are lost (writer {self._client.writer})"
        )

    def take_refusal(self, refusal: Refusal) -> None:
        """Reports values that are not stored."""
        _logger.warning("values of metric %r are refused: %s", refusal.metric, refusal.message)
        with contextlib.suppress(OSError):
            append_event(events_of(self._spool), refusal)
        self._warnings.refused(refusal)

    async def _carry(self) -> None:
        connection = self._client.connection
        made_batches = await self._source.catch_up()
        if made_batches or await self._source.next() is not None:
            await AppendStream(connection.metrics.WriteMetrics, self._source, connection.channel).run()
        await self._followers.release(self._client)
        await asyncio.gather(*self._marks)
        self._warn_of_drops(final=True)
        self._warnings.sum_up()
        await self._warnings.deliver()

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_SECONDS)
            await self._followers.search(self._client)
            self._warn_of_drops(final=False)

    async def _reach(self, number: int) -> None:
        await self._followers.reach(self._client)
        progress = self._progress.progress
        self._progress.save(progress._replace(mark=max(number, progress.mark)))

    def _warn_of_drops(self, *, final: bool) -> None:
        drops = self._reader.drops()
        if drops.value_count:
            why = os.strerror(drops.errno) if drops.errno else "see the output of the script"
            self._warnings.add(f"Values are lost because they could not be written to the spool: {why}")
            if final:
                self._warnings.add(
                    f"{drops.value_count} values could not be written to the spool of writer {self._client.writer}"
                )

    async def _stop(self, stopped: Stopped) -> None:
        """Says that the metrics go no further. The files that the writer wants followed go on as long as it lives."""
        _logger.warning("the spool %s stays: %s", self._spool.name, stopped)
        with contextlib.suppress(OSError):
            append_event(events_of(self._spool), Stop(stopped.reason, str(stopped)))
            self._progress.save(self._progress.progress._replace(stopped=True))
        self._warnings.add(f"Metrics of writer {self._client.writer} are not stored any further: {stopped}")
        await self._source.dies()
        await self._followers.release(self._client)
        await self._warnings.deliver()

    def _remove(self) -> None:
        for path in (self._spool, progress_of(self._spool), events_of(self._spool)):
            path.unlink(missing_ok=True)


async def cancel(tasks: list["asyncio.Task[None]"]) -> None:
    """Cancels tasks and waits until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
