"""`MetricsService` on the wire: decode, delegate, encode."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream.api.metrics.v1.metrics_service_pb2_grpc import MetricsServiceServicer
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
    append_once,
    decode_writer,
)
from runstream_server.deleted import RunDeleted
from runstream_server.errors import InvalidField, MalformedMessage, ProtocolError, RunstreamError
from runstream_server.metrics.batches import size_of_curves
from runstream_server.metrics.comparing import Comparison
from runstream_server.metrics.convert import (
    are_few_curves,
    decode_columns,
    encode_acknowledged,
    encode_logged,
    encode_notice,
    encode_opened,
    encode_series,
    encode_slice,
)
from runstream_server.metrics.convert_queries import (
    decode_comparison,
    decode_read,
    decode_read_latest,
    decode_tail,
    encode_latest,
    encode_refusal_count,
    encode_tail,
    encode_thinned,
)
from runstream_server.metrics.errors import SequenceGap
from runstream_server.metrics.latest_reading import LatestReader
from runstream_server.metrics.model import KnownBatch, MetricPayload
from runstream_server.metrics.reading import SeriesReader
from runstream_server.metrics.recognition import Recogniser
from runstream_server.metrics.requests import CurveBatch, read_request
from runstream_server.metrics.rules import Metrics
from runstream_server.metrics.tails import Tails
from runstream_server.names import RunName
from runstream_server.paging import page_size, page_token, read_page_token
from runstream_server.runhistory import RunHistory

_Batch: TypeAlias = messages.MetricBatch | CurveBatch
_Sent: TypeAlias = KnownBatch | tuple[_Batch, bytes]
"""A batch that was recognised, or one that was not, with the bytes it came in."""

_MAX_DIGEST = 32
_QUICK_BYTES = 16 * 1024


@dataclass(frozen=True)
class Readers:
    """The ways to read series."""

    series: SeriesReader
    latest: LatestReader
    comparison: Comparison
    tails: Tails


class MetricsServicer(MetricsServiceServicer):
    """`MetricsService` on the wire."""

    def __init__(self, metrics: Metrics, readers: Readers, hub: AppendHub[MetricPayload], history: RunHistory) -> None:
        self._metrics = metrics
        self._readers = readers
        self._hub = hub
        self._history = history

    async def WriteMetrics(self, _: object, context: Any) -> None:  # type: ignore[override]
        await AppendStream(context, MetricsDialect(self._metrics), self._hub).serve()

    async def LogMetrics(self, request: messages.LogMetricsRequest, _: object) -> messages.LogMetricsResponse:
        run = RunName.parse(request.run, "run")
        key = AppendKey(run.workspace, run.run, decode_writer(request.writer, "writer"))
        piece = _piece(request.batch, request.ByteSize(), b"")
        facts = await self._history.get_run(run)
        if request.refuse_deleted and facts.is_deleted:
            raise RunDeleted(run)
        await self._metrics.expect(key, request.batch.sequence)
        return encode_logged(await append_once(self._hub, key, piece, MetricsDialect(self._metrics).prepare))

    async def ListSeries(self, request: messages.ListSeriesRequest, _: object) -> messages.ListSeriesResponse:
        run = RunName.parse(request.parent, "parent")
        size = page_size(request.page_size, 1_000, 10_000)
        listing = ("ListSeries", str(run))
        (after,) = read_page_token(request.page_token, listing, 1) or ("",)
        page = await self._metrics.list_series(run, after, size)
        return messages.ListSeriesResponse(
            series=map(encode_series, page.series),
            next_page_token=page_token(listing, [page.last[1]]) if page.has_more else "",
        )

    async def GetRefusals(self, request: messages.GetRefusalsRequest, _: object) -> messages.GetRefusalsResponse:
        refusals = await self._metrics.refusals(RunName.parse(request.run, "run"))
        return messages.GetRefusalsResponse(refusals=map(encode_refusal_count, refusals))

    async def ReadSeries(
        self, request: messages.ReadSeriesRequest, _: object
    ) -> AsyncIterator[messages.ReadSeriesResponse]:
        async with aclosing(self._readers.series.read(*decode_read(request))) as slices:
            async for each in slices:
                yield encode_slice(each)

    async def ReadLatestValues(
        self, request: messages.ReadLatestValuesRequest, _: object
    ) -> AsyncIterator[messages.ReadLatestValuesResponse]:
        async with aclosing(self._readers.latest.read(decode_read_latest(request))) as pages:
            async for page in pages:
                yield encode_latest(page)

    async def CompareSeries(
        self, request: messages.CompareSeriesRequest, _: object
    ) -> AsyncIterator[messages.CompareSeriesResponse]:
        async with aclosing(self._readers.comparison.compare(decode_comparison(request))) as series:
            async for each in series:
                yield encode_thinned(each)

    async def TailSeries(
        self, request: messages.TailSeriesRequest, _: object
    ) -> AsyncIterator[messages.TailSeriesResponse]:
        async with aclosing(self._readers.tails.tail(decode_tail(request))) as tail:
            async for message in tail:
                yield encode_tail(message)


class MetricsDialect:
    """What is said on a stream of WriteMetrics. Messages come as bytes: most are batches known by them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._recogniser = Recogniser()

    def run(self, message: bytes) -> RunName:
        return RunName.parse(_opening(message).run, "open.run")

    async def open(self, message: bytes) -> Opening:
        run, opening = self.run(message), _opening(message)
        key = AppendKey(run.workspace, run.run, decode_writer(opening.writer))
        digest = _checked_digest(opening.durable_digest, "open.durable_digest")
        if opening.durable_sequence < 0:
            raise InvalidField("open.durable_sequence", "expected 0 or more")
        return await self._metrics.open_writer(key, opening.durable_sequence, digest)

    def decode(self, message: bytes, size_bytes: int) -> Piece[_Sent] | Finish:
        if recognised := self._recogniser.read(message):
            sequence, batch = recognised
            return Piece(sequence - 1, sequence, size_bytes, batch)
        request = _request(message)
        if isinstance(request, CurveBatch):
            return _piece(request, size_bytes, message)
        match request.WhichOneof("message"):
            case "batch":
                return _piece(request.batch, size_bytes, message)
            case "finish":
                return Finish()
            case _:
                raise ProtocolError("after `open` come `batch` and at last `finish`")

    async def prepare(self, piece: Piece[_Sent], _skip: int) -> Prepared[MetricPayload]:
        if isinstance(piece.payload, KnownBatch):
            return Prepared(piece.payload, size_of_curves(piece.payload))
        batch, message = piece.payload
        prepared = await _prepare(self._metrics, batch, piece.size_bytes)
        if not prepared.refusals and piece.size_bytes <= _QUICK_BYTES:
            self._recogniser.learn(message, batch.digest, prepared.payload.pieces)
        return prepared

    def gap(self, expected: int) -> RunstreamError:
        return SequenceGap(expected)

    def opened(self, durable: int, limits: AppendLimits) -> messages.WriteMetricsResponse:
        return encode_opened(durable, limits)

    def acknowledged(self, durable: int, refusals: Sequence[Refusal]) -> messages.WriteMetricsResponse:
        return encode_acknowledged(durable, refusals)

    def notice(self, notice: Notice) -> messages.WriteMetricsResponse:
        return encode_notice(notice)


def _request(message: bytes) -> messages.WriteMetricsRequest | CurveBatch:
    try:
        return read_request(message)
    except DecodeError as error:
        raise MalformedMessage(str(error).rpartition(": ")[2]) from None


def _opening(message: bytes) -> messages.OpenMetrics:
    request = _request(message)
    if isinstance(request, CurveBatch) or request.WhichOneof("message") != "open":
        raise ProtocolError("the first message has to be `open`")
    return request.open


def _piece(batch: _Batch, size_bytes: int, message: bytes) -> Piece[_Sent]:
    _checked_digest(batch.digest, "batch.digest")
    return Piece(batch.sequence - 1, batch.sequence, size_bytes, (batch, message))


async def _prepare(metrics: Metrics, batch: _Batch, size_bytes: int) -> Prepared[MetricPayload]:
    if isinstance(batch, CurveBatch):
        is_quick = size_bytes <= _QUICK_BYTES or batch.has_few
        return await metrics.prepare(batch.sequence, batch.digest, batch.columns, is_quick=is_quick)
    is_quick = size_bytes <= _QUICK_BYTES or are_few_curves(batch.series)
    decode = partial(decode_columns, batch.series)
    return await metrics.prepare(batch.sequence, batch.digest, decode, is_quick=is_quick)


def _checked_digest(digest: bytes, field: str) -> bytes:
    if len(digest) > _MAX_DIGEST:
        raise InvalidField(field, f"a digest has up to {_MAX_DIGEST} bytes; got {len(digest)}")
    return digest
