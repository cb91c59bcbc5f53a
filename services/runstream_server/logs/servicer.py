"""`LogService` on the wire: decode, delegate, encode."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream.api.logs.v1.log_service_pb2_grpc import LogServiceServicer
from runstream_server.appendstreams import (
    AppendHub,
    AppendKey,
    AppendLimits,
    AppendStream,
    Finish,
    Notice,
    Opening,
    Piece,
    Prepared,
    Refusal,
    decode_writer,
)
from runstream_server.errors import InvalidField, ProtocolError, RunstreamError
from runstream_server.logs.convert import (
    decode_digest,
    decode_span,
    decode_tail,
    decode_text,
    encode_acknowledged,
    encode_file,
    encode_notice,
    encode_opened,
    encode_slice,
    encode_tail,
)
from runstream_server.logs.convert_search import decode_search, encode_search
from runstream_server.logs.errors import OffsetGap
from runstream_server.logs.model import EncodedText, LogText
from runstream_server.logs.rules import Logs
from runstream_server.logs.search.model import SearchMessage
from runstream_server.logs.search.searching import Searches
from runstream_server.logs.tails import Tails
from runstream_server.names import RunName
from runstream_server.paging import page_size, page_token, read_page_token
from runstream_server.paths import check_path

_APPEND_BYTES = 500
"""What a piece takes in memory besides its text, about."""


class LogServicer(LogServiceServicer):
    """`LogService` on the wire."""

    def __init__(self, logs: Logs, searches: Searches, tails: Tails, hub: AppendHub[EncodedText]) -> None:
        self._logs = logs
        self._searches = searches
        self._tails = tails
        self._hub = hub

    async def WriteLog(self, _: object, context: Any) -> None:  # type: ignore[override]
        await AppendStream(context, LogDialect(self._logs), self._hub).serve()

    async def ListLogs(self, request: messages.ListLogsRequest, _: object) -> messages.ListLogsResponse:
        run = RunName.parse(request.parent, "parent")
        size = page_size(request.page_size, 100, 1_000)
        listing = ("ListLogs", str(run))
        (after,) = read_page_token(request.page_token, listing, 1) or ("",)
        files = await self._logs.list_files(run, after, size + 1)
        return messages.ListLogsResponse(
            logs=[encode_file(file) for file in files[:size]],
            next_page_token=page_token(listing, [files[size - 1].path]) if len(files) > size else "",
        )

    async def ReadLog(self, request: messages.ReadLogRequest, _: object) -> AsyncIterator[messages.ReadLogResponse]:
        run, path = RunName.parse(request.run, "run"), check_path(request.path, "path")
        span = decode_span(request)
        async with aclosing(self._logs.read(run, path, span, with_marks=request.with_times)) as parts:
            async for part in parts:
                yield encode_slice(part if request.with_times else replace(part, marks=()))

    async def SearchLogs(self, request: messages.SearchLogsRequest, context: Any) -> None:  # type: ignore[override]
        async def tell(message: SearchMessage) -> None:
            await context.write(encode_search(message, request))

        await self._searches.search(decode_search(request), tell)

    async def TailLog(self, request: messages.TailLogRequest, _: object) -> AsyncIterator[messages.TailLogResponse]:
        run, path = RunName.parse(request.run, "run"), check_path(request.path, "path")
        async with aclosing(self._tails.tail(run, path, decode_tail(request, run, path))) as tail:
            async for message in tail:
                yield encode_tail(message, run, path, with_times=request.with_times)


class LogDialect:
    """What is said on a stream of WriteLog."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    def run(self, message: messages.WriteLogRequest) -> RunName:
        if message.WhichOneof("message") != "open":
            raise ProtocolError("the first message has to be `open`")
        return RunName.parse(message.open.run, "open.run")

    async def open(self, message: messages.WriteLogRequest) -> Opening:
        run, opened = self.run(message), message.open
        key = AppendKey(run.workspace, run.run, check_path(opened.path, "open.path"))
        if opened.durable_offset < 0:
            raise InvalidField("open.durable_offset", "expected 0 or more")
        return await self._logs.open_file(
            key, decode_writer(opened.writer), opened.durable_offset, decode_digest(opened.durable_digest)
        )

    def decode(self, message: messages.WriteLogRequest, _: int) -> Piece[LogText] | Finish:
        match message.WhichOneof("message"):
            case "chunk":
                text, offset = decode_text(message.chunk), message.chunk.offset
                return Piece(offset, offset + len(text.data), len(text.data), text)
            case "finish":
                return Finish()
            case _:
                raise ProtocolError("after `open` come `chunk` and at last `finish`")

    async def prepare(self, piece: Piece[LogText], skip: int) -> Prepared[EncodedText]:
        text = piece.payload
        encoded = await self._logs.prepare(LogText(text.data[skip:], text.write_time))
        return Prepared(encoded, len(encoded.content) + _APPEND_BYTES)

    def gap(self, expected: int) -> RunstreamError:
        return OffsetGap(expected)

    def opened(self, durable: int, limits: AppendLimits) -> messages.WriteLogResponse:
        return encode_opened(durable, limits)

    def acknowledged(self, durable: int, _: Sequence[Refusal]) -> messages.WriteLogResponse:
        return encode_acknowledged(durable)

    def notice(self, notice: Notice) -> messages.WriteLogResponse:
        return encode_notice(notice)
