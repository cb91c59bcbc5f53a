"""Ends streams whose callers lost what they called with."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime

from runstream_server.auth.errors import TokenUnknown
from runstream_server.auth.known import KnownTokens, check_current
from runstream_server.auth.model import Caller
from runstream_server.errors import RunstreamError, Unauthenticated
from runstream_server.names import RunName
from runstream_server.not_found import RunNotFound


class Lasting:
    """What happens for a caller over some time, as a context. Cheap: each stream has one."""

    __slots__ = ("_caller", "_calls", "_error", "_task")

    def __init__(self, calls: "OpenCalls", caller: Caller) -> None:
        self._calls = calls
        self._caller = caller
        self._error: RunstreamError | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a call is answered by a task"
        self._task = task
        self._calls.add(self._caller, self)

    def end(self, error: RunstreamError) -> None:
        """Has the context raise `error`, as soon as what happens in it was undone."""
        if self._error is None:
            self._error = error
            self._task.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._calls.discard(self._caller, self)
        if self._error is None:
            return
        if kind is None or not issubclass(kind, asyncio.CancelledError):
            with suppress(asyncio.CancelledError):  # it came too late, and would be raised at the next await
                await asyncio.sleep(0)
        self._task.uncancel()
        if kind is not None:
            raise self._error from None


class OpenCalls:
    """The streams that are open, by the tokens that opened them."""

    def __init__(self, known: KnownTokens, now: Callable[[], datetime]) -> None:
        self._known = known
        self._now = now
        self._open: defaultdict[bytes, dict[Lasting, Caller]] = defaultdict(dict)

    def lasting(self, caller: Caller) -> Lasting:
        """Ends what happens in the context soon after the caller may no longer call."""
        return Lasting(self, caller)

    def add(self, caller: Caller, lasting: Lasting) -> None:
        """Notes an open stream; our own services are trusted."""
        if caller.token is not None:
            self._open[caller.digest][lasting] = caller

    def discard(self, caller: Caller, lasting: Lasting) -> None:
        """Forgets a stream."""
        streams = self._open.get(caller.digest)
        if streams is not None:
            streams.pop(lasting, None)
            if not streams:
                del self._open[caller.digest]

    async def check(self) -> None:
        """Ends streams whose tokens are no longer taken."""
        known = {digest: next(iter(streams.values())) for digest, streams in self._open.items()}
        self._end_outdated(known)  # whether the database answers or not
        found = await self._known.look_again(list(known)) if known else {}
        self._end_outdated({digest: found.get(digest) for digest in known})  # what opened meanwhile is not in it

    def _end_outdated(self, callers: Mapping[bytes, Caller | None]) -> None:
        for digest, caller in callers.items():
            if error := _error(caller, self._now()):
                for stream in list(self._open.get(digest, ())):
                    stream.end(error)

    async def check_runs(self, is_present: Callable[[RunName], Awaitable[bool]]) -> None:
        """Ends streams whose tokens are of runs that are gone."""
        of_runs = [(run, streams) for streams in self._open.values() if (run := _run(streams))]
        for run, streams in of_runs:
            if not await is_present(run):
                for stream in list(streams):
                    stream.end(RunNotFound(run))


def _error(caller: Caller | None, now: datetime) -> RunstreamError | None:
    try:
        if caller is None:
            raise TokenUnknown
        check_current(caller, now)
    except Unauthenticated as error:
        return error
    return None


def _run(streams: Mapping[Lasting, Caller]) -> RunName | None:
    return next(iter(streams.values())).run
