"""Finds files with text to seal: because there is much of it, or because their run has ended."""

from collections.abc import Sequence
from time import perf_counter

from runstream_server.appendstreams import AppendKey
from runstream_server.logs.append_store import Growth
from runstream_server.logs.rounds import FIRST, Round
from runstream_server.logs.sealing.task_store import HotFile, SealTaskStore
from runstream_server.runhistory import RunHistory

_PAUSE_PER_WORK = 20
_MOST_NOTED = 10_000


class FullFiles:
    """Files that were seen to have enough text for a segment. A hint: the rounds find them too."""

    def __init__(self, seal_bytes: int) -> None:
        self._seal_bytes = seal_bytes
        self._keys: set[AppendKey] = set()

    def note(self, growths: Sequence[Growth]) -> None:
        """Takes in how much files have that is not sealed."""
        if len(self._keys) < _MOST_NOTED:
            self._keys.update(each.key for each in growths if each.unsealed_bytes >= self._seal_bytes)

    def take(self) -> Sequence[AppendKey]:
        """Hands them out."""
        keys, self._keys = sorted(self._keys), set()
        return keys


class SealRounds:
    """Looks at the hot files, some at a time, round after round."""

    def __init__(
        self,
        round_: Round,
        store: SealTaskStore,
        history: RunHistory,
        full: FullFiles,
        *,
        seal_bytes: int,
        round_seconds: float,
    ) -> None:
        self._round = round_
        self._store = store
        self._history = history
        self._full = full
        self._seal_bytes = seal_bytes
        self._round_seconds = round_seconds

    async def look(self) -> None:
        """Makes tasks for files that are known to be full, and looks at the next hot files, if it is time."""
        if full := self._full.take():
            await self._store.add_tasks(full, whole=False)
        after = await self._round.claim()
        if after is None:
            return
        begun = perf_counter()
        files = await self._store.hot_files(after)
        await self._add_tasks(files)
        pause = (perf_counter() - begun) * _PAUSE_PER_WORK
        if files:
            await self._round.finish(files[-1].key, pause)
        else:
            await self._round.finish(FIRST, max(pause, self._round_seconds))

    async def _add_tasks(self, files: Sequence[HotFile]) -> None:
        ended = await self._history.ended({file.key.run_name for file in files if not file.has_task})
        whole = [file.key for file in files if file.key.run_name in ended]
        full = [file.key for file in files if file.unsealed_bytes >= self._seal_bytes and file.key not in whole]
        await self._store.add_tasks(full, whole=False)
        await self._store.add_tasks(whole, whole=True)
