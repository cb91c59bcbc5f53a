"""The client's side of an append stream: the same for metrics and logs."""

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import grpc

from runstream._channel.backoff import backoff_seconds
from runstream._channel.errors import CallFailure, to_exception
from runstream._channel.exchange import Exchange, ExchangeEnded, end_side
from runstream._channel.tokens import NO_TOKEN, TOKEN_REASONS, Credential
from runstream._spool.progress import MAX_UNACKNOWLEDGED

GATHER_SECONDS = 0.05
"""How often it is looked whether a message has filled while another one is unacknowledged."""
STATUS_SECONDS = 5.0
"""How long messages and the status of a call are waited for that takes nothing more."""
HEALTHY_SECONDS = 10.0

STOPPING_CODES = frozenset(
    {
        "NOT_FOUND",
        "INVALID_ARGUMENT",
        "FAILED_PRECONDITION",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "UNIMPLEMENTED",
        "DATA_LOSS",
    }
)
"""With a reason they are the services' own word. Without one a proxy says them, or a server that is something else."""
FENCED = "WRITER_FENCED"
UNKNOWN = "TOKEN_UNKNOWN"
MAX_FENCES = 5
"""How often in a row a stream is opened again after it was fenced: an opening that was given up may arrive late and
fence its successor, but who is fenced again and again has a twin."""
REWINDING_REASONS = frozenset({"SEQUENCE_GAP", "OFFSET_GAP"})
"""The server lacks something in between: opening the stream again says from where on."""

DRAINING = 2
"""`METRICS_NOTICE_KIND_DRAINING` and `LOG_NOTICE_KIND_DRAINING`."""

Request = TypeVar("Request")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a stream waits before it goes on."""

    open_seconds: float = 15.0
    """For the answer to an opening."""

    drained_seconds: float = 2.0
    """After a server said that it stops, at most."""

    foreign_seconds: float = 30.0
    """After an error that would stop the writer but does not come from the services: what is in between may be
    repaired."""

    pause_seconds: Callable[[int], float] = backoff_seconds
    """After any other one, by how many there were before."""


USUAL_PATIENCE: Final = Patience()


class Stopped(Exception):
    """The services want nothing more of this writer, and trying again would not help."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{message} ({reason})")
        self.reason = reason

    @property
    def is_denial(self) -> bool:
        """Whether it is for the token: with another one it goes on."""
        return self.reason in TOKEN_REASONS


class Piece(NamedTuple, Generic[Request]):
    """One message of an append stream."""

    request: Request
    position: int
    """The position of the writer once this is durable: a sequence, or an offset."""
    size: int
    """In bytes."""


class Source(Protocol[Request]):
    """What an append stream sends."""

    def open(self) -> Request:
        """The first message."""

    def opened(self, opened: Any) -> None:
        """Takes note of where the server stands: `next` goes on from there.

        Raises:
            Stopped: Nothing is known of what would have to come next.
        """

    @property
    def is_full(self) -> bool:
        """Whether the next piece would not grow by waiting: it fills a message, or is to be what it was before."""

    async def next(self) -> Piece[Request] | None:
        """The next piece, as soon as there is one; None: there will be no other."""

    def acknowledged(self, acknowledged: Any) -> int:
        """Takes note of what became durable, and returns the position."""

    def finish(self) -> Request:
        """The last message."""


class AppendStream(Generic[Request]):
    """Sends what a source has, over as many streams as it takes, until the source is at its end and all is durable.

    What is there goes at once when nothing is unacknowledged. Otherwise it gathers until the acknowledgement comes or a
    message is full: so the messages of a slow writer do not wait, those of a fast one follow each other without pause,
    and a server with much to do gets as much in fewer messages.
    """

    def __init__(
        self,
        start: Callable[[], Any],
        source: Source[Request],
        channel: grpc.aio.Channel,
        patience: Patience = USUAL_PATIENCE,
        credential: Credential | None = None,
    ) -> None:
        """`credential` has the tokens that `start` shows: while there is another one, a refused one stops nothing."""
        self._start = start
        self._credential = credential
        self._token = NO_TOKEN
        self._source = source
        self._channel = channel
        self._patience = patience
        self._window = Window()
        self._drained = False
        self._finished = False
        self._fences = 0
        self._opened_time = math.inf

    async def run(self) -> None:
        """Returns when everything is acknowledged and the server knows that nothing follows.

        Raises:
            Stopped: The services want nothing more.
        """
        failures = 0
        while True:
            self._opened_time = math.inf
            try:
                await self._carry()
            except ExchangeEnded as lost:
                self._raise_if_stopped(lost.failure)
                if time.monotonic() - self._opened_time > HEALTHY_SECONDS:
                    failures = 0
                if not failures:
                    _logger.info("the stream broke: %s", lost)
                await self._rest(self._pause_seconds(lost.failure, failures), lost.failure)
                failures += 1
            else:
                return

    async def _carry(self) -> None:
        """One stream from its opening to its end."""
        if self._credential is not None:
            self._token = self._credential.token
        call = Exchange(self._start())
        sender: asyncio.Task[None] | None = None
        try:
            await self._open(call)
            sender = asyncio.create_task(self._send(call))
            sender.add_done_callback(partial(_end_soon, call))
            await self._receive(call)
            if not self._finished:
                raise ExchangeEnded(CallFailure("UNAVAILABLE", "the server closed the stream"))
        finally:
            call.cancel()
            if sender is not None:
                await end_side(sender)

    async def _open(self, call: Exchange) -> None:
        self._drained = self._finished = False
        await call.attempt(call.write(self._source.open()))
        response = await call.attempt(asyncio.wait_for(call.read(), self._patience.open_seconds))
        if response is grpc.aio.EOF or response.WhichOneof("message") != "opened":
            raise ExchangeEnded(CallFailure("UNAVAILABLE", "the server did not open the stream"))
        self._window = Window(response.opened.max_in_flight_bytes)
        self._source.opened(response.opened)
        self._opened_time = time.monotonic()

    async def _send(self, call: Exchange) -> None:
        while True:
            await self._window.has_room()
            while not (self._window.is_clear or self._source.is_full):
                await self._window.moves(GATHER_SECONDS)
            piece = await self._source.next()
            if piece is None:
                break
            self._window.add(piece.position, piece.size)
            await call.attempt(call.write(piece.request))
        await self._window.is_empty()
        await call.attempt(call.write(self._source.finish()))
        self._finished = True
        await call.attempt(call.done_writing())

    async def _receive(self, call: Exchange) -> None:
        while (response := await call.attempt(call.read())) is not grpc.aio.EOF:
            kind = response.WhichOneof("message")
            if kind == "acknowledged":
                self._window.release(self._source.acknowledged(response.acknowledged))
            elif kind == "notice":
                self._drained = response.notice.kind == DRAINING

    async def _rest(self, seconds: float, failure: CallFailure) -> None:
        """Waits before the next attempt: after a drain shortly, else `seconds` or until a lost server is back."""
        if self._drained:
            await asyncio.sleep(random.uniform(0, self._patience.drained_seconds))
            return
        try:
            async with asyncio.timeout(max(seconds, failure.retry_seconds or 0)):
                await self._comes_back()
        except TimeoutError:
            return

    def _pause_seconds(self, failure: CallFailure, failures: int) -> float:
        is_foreign = failure.code in STOPPING_CODES and not failure.reason
        return self._patience.foreign_seconds if is_foreign else self._patience.pause_seconds(failures)

    async def _comes_back(self) -> None:
        """Returns when the channel has been without a connection and has one again."""
        state = self._channel.get_state(try_to_connect=True)
        was_away = state is not grpc.ChannelConnectivity.READY
        while state is not grpc.ChannelConnectivity.READY or not was_away:
            await self._channel.wait_for_state_change(state)
            was_away = True
            state = self._channel.get_state(try_to_connect=True)

    def _raise_if_stopped(self, failure: CallFailure) -> None:
        if failure.reason in TOKEN_REASONS or self._is_out_of_reach(failure):
            self._raise_if_denied(failure)
            return
        if failure.reason:  # a broken connection says nothing about a twin
            self._fences = self._fences + 1 if failure.reason == FENCED else 0
        stopping = failure.code in STOPPING_CODES and failure.reason and failure.reason not in REWINDING_REASONS
        if stopping or self._fences > MAX_FENCES:
            raise Stopped(failure.reason, failure.message)

    def _is_out_of_reach(self, failure: CallFailure) -> bool:
        """Whether a token that stands in for another one may be the reason why nothing is found."""
        return failure.code == "NOT_FOUND" and self._credential is not None and self._credential.stands_in

    def _raise_if_denied(self, failure: CallFailure) -> None:
        if self._credential is not None and self._credential.replaces(self._token):
            return
        if failure.reason not in TOKEN_REASONS:
            message = f"the token of its writer is refused, and that of {self._token.source} does not reach the run"
            raise Stopped(UNKNOWN, message)
        raise Stopped(failure.reason, to_exception(failure, "its address", self._token.source).message)


def _end_soon(call: Exchange, sender: "asyncio.Task[None]") -> None:
    """Ends a call on which sending failed: at once by a defect of ours, else when its status does not come."""
    error = None if sender.cancelled() else sender.exception()
    if isinstance(error, ExchangeEnded):
        asyncio.get_running_loop().call_later(STATUS_SECONDS, call.cancel)
    elif error is not None:
        call.cancel()


class Window:
    """What is sent and not yet acknowledged: bounded in bytes and in number, but one piece is always allowed."""

    def __init__(self, max_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._pieces: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._released = asyncio.Event()

    @property
    def is_clear(self) -> bool:
        """Whether everything is acknowledged."""
        return not self._pieces

    def add(self, position: int, size: int) -> None:
        """Notes a piece before it is sent."""
        self._pieces.append((position, size))
        self._bytes += size

    def release(self, position: int) -> None:
        """Forgets all pieces up to a position."""
        while self._pieces and self._pieces[0][0] <= position:
            self._bytes -= self._pieces.popleft()[1]
        self._released.set()

    async def has_room(self) -> None:
        """Returns when another piece may be sent."""
        while self._pieces and (self._bytes >= self._max_bytes or len(self._pieces) >= MAX_UNACKNOWLEDGED):
            await self._release()

    async def is_empty(self) -> None:
        """Returns when everything is acknowledged."""
        while self._pieces:
            await self._release()

    async def moves(self, seconds: float) -> None:
        """Returns when something is acknowledged, after `seconds` at the latest."""
        try:
            async with asyncio.timeout(seconds):
                await self._release()
        except TimeoutError:
            return

    async def _release(self) -> None:
        self._released.clear()
        await self._released.wait()
