"""Hints from commit to readers: what changed, never the data.

A commit wakes the readers of its own process at once. Other processes hear of it by NOTIFY, sent by a task of its own
after the commit, since NOTIFY inside a transaction makes all notifying commits of the cluster run one after the other.
A hint can be lost; readers look by themselves now and then as well.
"""

import asyncio
import json
import logging
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import asyncpg

from runstream_server.postgres.pool import Postgres, database_errors

logger = logging.getLogger(__name__)

_CHANNEL = "runstream_hints"
_NOTIFY_SECONDS = 0.05
_MAX_PAYLOAD_BYTES = 7_000
_MAX_PENDING_KEYS = 20_000
_RECONNECT_SECONDS = 0.5
_PROBE_SECONDS = 10.0

_All = None


class Subscription:
    """Wakes one reader when one of its keys is hinted at."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._keys: set[str] = set()
        self._anything = False

    def wake(self, key: str | None = None) -> None:
        """Hints at the reader; counts also when it is not waiting. None: anything may have changed."""
        if key is None:
            self._anything = True
        else:
            self._keys.add(key)
        self._event.set()

    def take_keys(self) -> Collection[str] | None:
        """What was hinted at since this was last asked; None: it may be anything."""
        keys, anything = self._keys, self._anything
        self._keys, self._anything = set(), False
        return None if anything else keys

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109 - a bound that is part of what the caller says
        """Waits for a hint since the last wait, at most `timeout` seconds; returns whether there was one."""
        if not self._event.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._event.wait()
        hinted = self._event.is_set()
        self._event.clear()
        return hinted


# The setting holds for this transaction alone: nobody waits for the disk to keep a hint.
_NOTIFY = """
WITH hasty AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
SELECT pg_notify($1, payload) FROM hasty, unnest($2::text[]) payload
"""


class Hints:
    """Carries hints by topic and key between the services of all processes on one database."""

    def __init__(self) -> None:
        self._origin = uuid.uuid4().hex[:12]
        self._subscriptions: dict[tuple[str, str | None], set[Subscription]] = defaultdict(set)
        self._pending: dict[str, set[str] | None] = {}
        self._has_pending = asyncio.Event()

    @contextmanager
    def subscribe(self, topic: str, keys: Iterable[str] | None) -> Iterator[Subscription]:
        """Makes a subscription for some keys of a topic, or for all of them with None."""
        subscription = Subscription()
        places = [(topic, key) for key in keys] if keys is not None else [(topic, _All)]
        for place in places:
            self._subscriptions[place].add(subscription)
        try:
            yield subscription
        finally:
            for place in places:
                self._subscriptions[place].discard(subscription)
                if not self._subscriptions[place]:
                    del self._subscriptions[place]

    def publish(self, topic: str, keys: Iterable[str]) -> None:
        """Hints that something under these keys changed. To be called after the commit; never blocks."""
        keys = list(keys)
        self._wake(topic, keys)
        pending = self._pending.setdefault(topic, set())
        if pending is not None:
            pending.update(keys)
            if len(pending) > _MAX_PENDING_KEYS:
                self._pending[topic] = _All
        self._has_pending.set()

    def _wake(self, topic: str, keys: Iterable[str]) -> None:
        for place in [(topic, _All), *((topic, key) for key in keys)]:
            for subscription in self._subscriptions.get(place, ()):
                subscription.wake(place[1])

    def _wake_all(self, topic: str | None = None) -> None:
        for (of_topic, _), subscriptions in self._subscriptions.items():
            if topic in (None, of_topic):
                for subscription in subscriptions:
                    subscription.wake()

    def _receive(self, payload: str) -> None:
        hint = json.loads(payload)
        if hint["origin"] == self._origin:
            return
        if hint["keys"] is None:
            self._wake_all(hint["topic"])
        else:
            self._wake(hint["topic"], hint["keys"])

    def _payloads(self) -> Iterator[str]:
        """Takes what is pending, in pieces that NOTIFY can carry."""
        pending, self._pending = self._pending, {}
        for topic, keys in pending.items():
            if keys is None:
                yield self._payload(topic, None)
                continue
            for piece in _pieces(sorted(keys)):
                yield self._payload(topic, piece)

    def _payload(self, topic: str, keys: list[str] | None) -> str:
        return json.dumps({"origin": self._origin, "topic": topic, "keys": keys}, ensure_ascii=False)

    async def notify_forever(self, postgres: Postgres) -> None:
        """Tells the other processes, at most 20 times a second."""
        while True:
            await self._has_pending.wait()
            self._has_pending.clear()
            payloads = list(self._payloads())
            with suppress(Exception):  # a lost hint is made good by the readers' own looking
                await postgres.execute(_NOTIFY, _CHANNEL, payloads)
            await asyncio.sleep(_NOTIFY_SECONDS)

    async def listen_forever(self, dsn: str) -> None:
        """Hears of the other processes; after each new connection wakes everybody, since hints may have been missed."""
        while True:
            try:
                with database_errors():
                    await self._listen(dsn)
            except Exception as error:  # noqa: BLE001 - whatever it is, connect again
                logger.warning("listening again", extra={"error": repr(error)})
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self, dsn: str) -> None:
        connection = await asyncpg.connect(dsn, server_settings={"application_name": "runstream listen"}, timeout=5)
        try:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(_CHANNEL, self._notified)
            self._wake_all()
            while not ended.is_set():
                await connection.fetchval("SELECT 1", timeout=5)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PROBE_SECONDS):
                        await ended.wait()
        finally:
            connection.terminate()

    def _notified(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._receive(str(payload))


def _pieces(keys: list[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    size = 0
    for key in keys:
        cost = len(json.dumps(key, ensure_ascii=False).encode()) + 2
        if piece and size + cost > _MAX_PAYLOAD_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(key)
        size += cost
    if piece:
        yield piece


@asynccontextmanager
async def listening(dsn: str, postgres: Postgres) -> AsyncIterator[Hints]:
    """Carries hints while the context is open."""
    hints = Hints()
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(hints.notify_forever(postgres), name="hints-notify"),
            tasks.create_task(hints.listen_forever(dsn), name="hints-listen"),
        ]
        try:
            yield hints
        finally:
            for task in running:
                task.cancel()
