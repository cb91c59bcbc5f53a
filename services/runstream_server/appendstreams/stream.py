"""One append stream, from its first message to its end."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import grpc

from runstream_server.appendstreams.errors import WriterFenced
from runstream_server.appendstreams.hub import AppendHub
from runstream_server.appendstreams.limits import AppendLimits
from runstream_server.appendstreams.model import (
    Append,
    Committed,
    Finish,
    Notice,
    Opening,
    Outcome,
    Payload,
    Piece,
    Prepared,
    Refusal,
    check_size,
)
from runstream_server.appendstreams.progress import Progress
from runstream_server.errors import Draining, ProtocolError, RunstreamError
from runstream_server.names import RunName
from runstream_server.runhistory import RunFacts

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


Stored = TypeVar("Stored")


class Dialect(Protocol[Stored]):
    """What one service says on its append streams, and how it makes appends ready to be stored."""

    def run(self, message: Any) -> RunName:
        """The run that the first message names; raises ProtocolError if it opens nothing."""

    async def open(self, message: Any) -> Opening:
        """Opens the stream in the database, which fences older streams of the same writer."""

    def decode(self, message: Any, size_bytes: int) -> Piece[Any] | Finish:
        """Takes a later message apart, which had this size; raises ProtocolError if it has no place there."""

    async def prepare(self, piece: Piece[Any], skip: int) -> Prepared[Stored]:
        """Makes a piece ready to be stored, without what is known of its beginning, and says what it refuses."""

    def gap(self, expected: int) -> RunstreamError:
        """The error of a piece that does not join on."""

    def opened(self, durable: int, limits: AppendLimits) -> Any:
        """The message that answers the first one."""

    def acknowledged(self, durable: int, refusals: Sequence[Refusal]) -> Any:
        """The message that acknowledges."""

    def notice(self, notice: Notice) -> Any:
        """The message that carries a notice."""


class AppendStream(Generic[Payload]):
    """Reads, has committed and acknowledges what one client appends.

    The end of the request stream means nothing by itself: what arrived is committed, and nothing is concluded.
    """

    def __init__(self, context: Context, dialect: Dialect[Payload], hub: AppendHub[Payload]) -> None:
        self._context = context
        self._dialect = dialect
        self._hub = hub
        self._progress = Progress(hub.limits.max_in_flight_bytes)
        self._ended = asyncio.Event()
        self._error: Exception | None = None
        self._broken = False
        self._told_to_cancel = False
        self._finished = False

    async def serve(self) -> None:
        """Serves the stream; raises the error that ends it, if it ends by one."""
        message = await self._context.read()
        if message is grpc.aio.EOF:
            return
        async with self._hub.watch.following(self._dialect.run(message), self._run_changed) as facts:
            opening = await self._dialect.open(message)
            self._opening = opening
            self._received = opening.durable
            self._progress.begin(opening.durable)
            self._run_changed(facts)
            with self._hub.entered(opening, self):
                await self._context.write(self._dialect.opened(opening.durable, self._hub.limits))
                await self._exchange()
        if self._error is not None:
            raise self._error

    async def _exchange(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._write(), name="append-write")
            reading = tasks.create_task(self._read(), name="append-read")
            await self._ended.wait()
            reading.cancel()
            await self._progress.settled()
            self._progress.close()
            if self._broken:
                writing.cancel()

    async def _read(self) -> None:
        try:
            while not self._ended.is_set():
                await self._wait_for_room()
                message = await self._context.read()
                if message is grpc.aio.EOF:
                    break
                await self._take(message)
        except RunstreamError as error:
            self._end(error)
        self._ended.set()

    async def _wait_for_room(self) -> None:
        await self._progress.room()
        if self._hub.budget.exhausted:
            self._progress.notice(Notice.THROTTLED)
            await self._hub.budget.room()

    async def _take(self, message: Any) -> None:
        piece = self._decode(message)
        if isinstance(piece, Finish):
            self._finished = True
            self._submit(Append(self._opening.key, self._opening.epoch, self._received, self._received, 0, None), 0)
        elif not 0 <= piece.start <= self._received:
            raise self._dialect.gap(self._received)
        elif piece.end <= self._received:
            self._progress.repeat()
        else:
            await self._append(piece)

    def _decode(self, message: Any) -> Piece[Any] | Finish:
        if self._finished:
            raise ProtocolError("nothing may follow a message that says the writer is done")
        piece = self._dialect.decode(message, self._context.received_bytes)  # type: ignore[attr-defined]
        if isinstance(piece, Piece):
            check_size(piece, self._hub.limits.max_batch_bytes)
        return piece

    async def _append(self, piece: Piece[Any]) -> None:
        start, self._received = self._received, piece.end
        self._hub.budget.take(piece.size_bytes)
        try:
            prepared = await self._dialect.prepare(piece, start - piece.start)
        except BaseException:
            self._hub.budget.give_back(piece.size_bytes)
            raise
        self._hub.budget.change(piece.size_bytes, prepared.size_bytes)
        append = (start, piece.end, prepared.size_bytes, prepared.payload, prepared.refusals)
        in_flight_bytes = max(piece.size_bytes, prepared.size_bytes)  # until all that it refuses is told, too
        self._submit(Append(self._opening.key, self._opening.epoch, *append), in_flight_bytes)

    def _submit(self, append: Append[Payload], in_flight_bytes: int) -> None:
        self._progress.take(in_flight_bytes)
        committed = partial(self._committed, append.size_bytes, in_flight_bytes)
        self._hub.committer.submit(append).add_done_callback(committed)

    def _committed(self, size_bytes: int, in_flight_bytes: int, future: "asyncio.Future[Outcome]") -> None:
        self._hub.budget.give_back(size_bytes)
        outcome = future.result()
        if isinstance(outcome, Committed):
            self._progress.commit(outcome, in_flight_bytes)
        else:
            self._break_off(outcome)

    async def _write(self) -> None:
        while await self._progress.news():
            for notice in self._progress.take_notices():
                await self._context.write(self._dialect.notice(notice))
            acknowledgement = self._progress.take_acknowledgement()
            if acknowledgement is not None:
                await self._context.write(self._dialect.acknowledged(acknowledgement.durable, acknowledgement.refusals))
                self._progress.written(acknowledgement)

    def fence(self) -> None:
        """Ends the stream: a newer one of the same writer was opened."""
        self._break_off(WriterFenced())

    def drain(self) -> None:
        """Tells the client, commits and acknowledges what arrived, and ends the stream."""
        self._progress.notice(Notice.DRAINING)
        self._end(Draining())

    def _run_changed(self, facts: RunFacts) -> None:
        if facts.cancel_requested and not self._told_to_cancel:
            self._told_to_cancel = True
            self._progress.notice(Notice.CANCEL_REQUESTED)

    def _end(self, error: Exception) -> None:
        """Ends the stream when what is in flight is acknowledged."""
        if self._error is None:
            self._error = error
        self._ended.set()

    def _break_off(self, error: Exception) -> None:
        """Ends the stream now; what is in flight will not be acknowledged on it."""
        if not self._broken:
            self._error, self._broken = error, True
        self._ended.set()
        self._progress.close()
