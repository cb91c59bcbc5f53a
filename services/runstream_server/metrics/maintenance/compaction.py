"""Merges small chunks in the background."""

import asyncio
import logging
from collections.abc import Sequence
from time import perf_counter

from runstream_server.errors import RunstreamError
from runstream_server.metrics.helpings import helpings
from runstream_server.metrics.maintenance.compaction_store import CompactionStore
from runstream_server.metrics.maintenance.fragments import Fragments
from runstream_server.metrics.maintenance.merging import Merge, merge_chunks, plan_merges
from runstream_server.metrics.maintenance.telemetry import MERGED_CHUNKS, MERGING_SECONDS
from runstream_server.names import RunName
from runstream_server.sealing.pace import Pace

logger = logging.getLogger(__name__)

_HELPING_BYTES = 4 * 1024 * 1024


class Compaction:
    """Merges the small chunks of series; any number of processes may do so at once."""

    def __init__(self, store: CompactionStore, fragments: Fragments, pace: Pace) -> None:
        self._store = store
        self._fragments = fragments
        self._pace = pace

    async def run(self) -> None:
        """Merges until cancelled."""
        while True:
            run, metrics = await self._fragments.take()
            try:
                await self.merge(run, metrics)
            except RunstreamError as error:
                logger.warning("chunks not merged", extra={"run": str(run), "reason": error.reason})
            except Exception:
                logger.exception("chunks not merged", extra={"run": str(run)})

    async def merge(self, run: RunName, metrics: Sequence[str]) -> None:
        """Merges the small chunks at the ends of some series of a run, as far as they can be."""
        async with self._pace.work():
            merges = plan_merges(await self._store.small_chunks(run, metrics))
        for helping in helpings(merges, lambda merge: merge.size_bytes, _HELPING_BYTES):
            async with self._pace.work():
                await self._merge(run, helping)

    async def _merge(self, run: RunName, merges: Sequence[Merge]) -> None:
        begun = perf_counter()
        contents = await self._store.contents(run, merges)
        merged = await asyncio.to_thread(merge_chunks, run, contents)
        if merged and await self._store.replace(run, merged):
            MERGED_CHUNKS.inc(sum(len(each.merge.extents) for each in merged))
        MERGING_SECONDS.inc(perf_counter() - begun)
