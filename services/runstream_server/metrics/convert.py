"""Between messages and the words of metrics."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.appendstreams import AppendLimits, Committed, Notice, Refusal
from runstream_server.metrics.layouts import varint
from runstream_server.metrics.model import Kind, Points, Segment, Series, Slice
from runstream_server.metrics.tables import Artifacts, Table, TableColumn

_LENGTH_DELIMITED = 2
_FEW = 64
_NUMBERS = ("doubles", "int64s")
_NOTICES = {
    Notice.CANCEL_REQUESTED: messages.METRICS_NOTICE_KIND_CANCEL_REQUESTED,
    Notice.DRAINING: messages.METRICS_NOTICE_KIND_DRAINING,
    Notice.THROTTLED: messages.METRICS_NOTICE_KIND_THROTTLED,
}
_KINDS = {
    "doubles": Kind.DOUBLE,
    "int64s": Kind.INT64,
    "bools": Kind.BOOL,
    "strings": Kind.STRING,
    "nulls": Kind.NULL,
    "table": Kind.TABLE,
    "artifacts": Kind.ARTIFACTS,
}
_ARRAY_KINDS: Mapping[Kind, type[np.generic]] = {Kind.DOUBLE: np.float64, Kind.INT64: np.int64, Kind.BOOL: np.bool_}


def are_few_curves(series: Sequence[messages.SeriesColumns]) -> bool:
    """Whether a batch, however large, is decoded and encoded in a millisecond or so: by a few calls of numpy.

    A thread would take no longer, but give up the interpreter and wait for it at each of them.
    """
    return len(series) <= _FEW and all(each.WhichOneof("values") in _NUMBERS for each in series)


def decode_columns(series: Sequence[messages.SeriesColumns]) -> Sequence[tuple[str, str, Points]]:
    """Takes metric, description and points of each column of a batch."""
    return _decode_curves(series) or [(each.metric, each.description, decode_points(each)) for each in series]


def _decode_curves(series: Sequence[messages.SeriesColumns]) -> Sequence[tuple[str, str, Points]] | None:
    """Does so for a few doubles with steps of each, of as many all over: numpy is called for all of them together."""
    count = len(series[0].times) if series else 0
    if not 0 < count <= _FEW:
        return None
    steps, times, values = [], [], []
    for each in series:
        columns = (each.steps[:], each.times[:], each.doubles.values[:])
        if not len(columns[0]) == len(columns[1]) == len(columns[2]) == count:
            return None
        steps.append(columns[0])
        times.append(columns[1])
        values.append(columns[2])
    rows = zip(series, np.array(steps, np.int64), np.array(times, np.int64), np.array(values), strict=True)
    return [
        (each.metric, each.description, Points(of_steps, of_times, (Segment(Kind.DOUBLE, count, of_values),)))
        for each, of_steps, of_times, of_values in rows
    ]


def decode_points(columns: messages.SeriesColumns) -> Points:
    """Takes columns as they are: whether they fit together is for the rules to say."""
    steps = _array(columns.steps, np.int64) if columns.steps else None
    return Points(steps, _array(columns.times, np.int64), _decode_segments(columns))


def _array(values: Any, kind: type[np.generic]) -> NDArray[Any]:
    """Copies a repeated field. Numpy takes several microseconds to find out that it is one, and of a list less."""
    return np.array(values[:], kind) if len(values) <= _FEW else np.asarray(values)


def _decode_segments(columns: messages.SeriesColumns) -> Sequence[Segment]:
    field = columns.WhichOneof("values")
    if field is None:
        return ()
    match _KINDS[field]:
        case Kind.TABLE:
            return (Segment(Kind.TABLE, columns.table.row_count, _decode_table(columns.table)),)
        case Kind.ARTIFACTS:
            paths = list(columns.artifacts.paths)
            return (Segment(Kind.ARTIFACTS, len(paths), Artifacts(columns.artifacts.kind, paths)),)
        case kind:
            return (_decode_values(kind, getattr(columns, field)),)


def _decode_values(kind: Kind, message: Any) -> Segment:
    if kind is Kind.NULL:
        return Segment(kind, message.count, None)
    if kind is Kind.STRING:
        return Segment(kind, len(message.values), list(message.values))
    values = message.values
    return Segment(kind, len(values), _array(values, _ARRAY_KINDS[kind]))


def _decode_table(message: messages.TableValues) -> Table:
    return Table(message.row_count, [TableColumn(each.name, _decode_cells(each)) for each in message.columns])


def _decode_cells(column: messages.TableColumn) -> Segment:
    field = column.WhichOneof("cells")
    if field is None:
        return Segment(Kind.NULL, 0, None)
    return _decode_values(_KINDS[field], getattr(column, field))


def encode_slice(part: Slice) -> messages.ReadSeriesResponse:
    """Makes the message of a slice."""
    message = messages.ReadSeriesResponse(run=str(part.series.run), start_index=part.start_index)
    message.columns.metric = part.series.metric
    encode_points(message.columns, part.points, part.start_index)
    return message


def encode_points(message: messages.SeriesColumns, points: Points, start_index: int) -> None:
    """Fills `message` with points of one segment at most, with a step for each."""
    steps = points.steps
    if steps is None:
        steps = np.arange(start_index, start_index + points.count)
    fill(message, message.STEPS_FIELD_NUMBER, steps)
    fill(message, message.TIMES_FIELD_NUMBER, points.times)
    for segment in points.segments:
        _encode_segment(message, segment)


def _encode_segment(message: messages.SeriesColumns, segment: Segment) -> None:
    match segment.kind:
        case Kind.TABLE:
            message.table.row_count = segment.count
            for column in segment.table.columns:
                _encode_values(message.table.columns.add(name=column.name), column.cells)
        case Kind.ARTIFACTS:
            message.artifacts.kind = cast("messages.ArtifactKind.ValueType", segment.artifacts.artifact_kind)
            message.artifacts.paths.extend(segment.artifacts.paths)
        case _:
            _encode_values(message, segment)


def _encode_values(message: messages.SeriesColumns | messages.TableColumn, segment: Segment) -> None:
    match segment.kind:
        case Kind.NULL:
            message.nulls.count = segment.count
        case Kind.STRING:
            message.strings.values.extend(segment.strings)
        case Kind.DOUBLE:
            fill(message.doubles, message.doubles.VALUES_FIELD_NUMBER, segment.array)
        case Kind.INT64:
            fill(message.int64s, message.int64s.VALUES_FIELD_NUMBER, segment.array)
        case Kind.BOOL:
            fill(message.bools, message.bools.VALUES_FIELD_NUMBER, segment.array)


def fill(message: Message, field_number: int, values: NDArray[np.generic]) -> None:
    """Appends to a packed field of fixed-width elements, or of truth values: several times as fast as `extend`.

    Such a field stands on the wire as its number, its length, and what numpy has in memory anyway.
    """
    content = np.ascontiguousarray(values).view(np.uint8).data
    head = varint(field_number << 3 | _LENGTH_DELIMITED) + varint(len(content))
    message.MergeFromString(b"".join((head, content)))


def encode_series(series: Series) -> messages.Series:
    """Makes the message of a series."""
    return messages.Series(
        metric=series.metric,
        count=series.count,
        last=series.last,
        min=series.min,
        max=series.max,
        description=series.description,
        kind=cast("messages.SeriesKind.ValueType", int(series.kind)),
        columns=series.columns,
    )


def encode_opened(durable: int, limits: AppendLimits) -> messages.WriteMetricsResponse:
    """Makes the message that answers `open`."""
    return messages.WriteMetricsResponse(
        opened=messages.MetricsOpened(
            durable_sequence=durable,
            max_batch_bytes=limits.max_batch_bytes,
            max_in_flight_bytes=limits.max_in_flight_bytes,
        )
    )


def encode_acknowledged(durable: int, refusals: Sequence[Refusal]) -> messages.WriteMetricsResponse:
    """Makes the message that acknowledges."""
    return messages.WriteMetricsResponse(
        acknowledged=messages.MetricsAcknowledged(durable_sequence=durable, refusals=map(_encode_refusal, refusals))
    )


def encode_logged(outcome: Committed) -> messages.LogMetricsResponse:
    """Makes the answer to a batch that came without a stream."""
    return messages.LogMetricsResponse(
        durable_sequence=outcome.durable, refusals=map(_encode_refusal, outcome.refusals)
    )


def _encode_refusal(refusal: Refusal) -> messages.SeriesRefusal:
    return messages.SeriesRefusal(
        sequence=refusal.sequence,
        metric=refusal.metric,
        reason=refusal.reason,
        message=refusal.message,
        count=refusal.count,
    )


def encode_notice(notice: Notice) -> messages.WriteMetricsResponse:
    """Makes the message that carries a notice."""
    return messages.WriteMetricsResponse(notice=messages.MetricsNotice(kind=_NOTICES[notice]))
