"""Between messages and the words of logs."""

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server.appendstreams import AppendLimits, Notice
from runstream_server.errors import InvalidField
from runstream_server.logs.cursors import cursor, read_cursor
from runstream_server.logs.model import (
    ByteSpan,
    LastLines,
    LineSpan,
    LogFile,
    LogText,
    Mark,
    ReadSpan,
    TailBegin,
    TailEnd,
    TailMessage,
    TextSlice,
)
from runstream_server.logs.sealing.times import to_microseconds
from runstream_server.names import RunName

_NOTICES = {
    Notice.CANCEL_REQUESTED: messages.LOG_NOTICE_KIND_CANCEL_REQUESTED,
    Notice.DRAINING: messages.LOG_NOTICE_KIND_DRAINING,
    Notice.THROTTLED: messages.LOG_NOTICE_KIND_THROTTLED,
}
_ENDS = {
    None: messages.TAIL_END_UNSPECIFIED,
    TailEnd.FINISHED: messages.TAIL_END_FINISHED,
    TailEnd.RUN_ENDED: messages.TAIL_END_RUN_ENDED,
}
_DIGEST_BYTES = 32
_MOST_INT64 = 2**63 - 1


def decode_text(chunk: messages.LogChunk) -> LogText:
    """Takes the bytes of a chunk; raises InvalidField if there are none, or the time is none."""
    if not chunk.data:
        raise InvalidField("chunk.data", "expected 1 byte or more")
    return LogText(chunk.data, _decode_time(chunk.time) if chunk.HasField("time") else None)


def _decode_time(time: Timestamp) -> datetime:
    try:
        return time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidField("chunk.time", "expected a time from the year 1 to 9999") from None


def decode_digest(digest: bytes) -> bytes:
    """Takes a SHA-256; raises InvalidField if it is none."""
    if len(digest) not in (0, _DIGEST_BYTES):
        raise InvalidField("open.durable_digest", f"a SHA-256 has {_DIGEST_BYTES} bytes; got {len(digest)}")
    return digest


def encode_file(file: LogFile) -> messages.LogFile:
    """Makes the message of a file."""
    message = messages.LogFile(path=file.path, size_bytes=file.size_bytes, finished=file.finished)
    if file.create_time is not None and file.update_time is not None:
        message.create_time.FromDatetime(file.create_time)
        message.update_time.FromDatetime(file.update_time)
    return message


def decode_span(request: messages.ReadLogRequest) -> ReadSpan:
    """Takes what is to be read; raises InvalidField if that is not one range."""
    kind = request.WhichOneof("range")
    if request.end_offset < 0:
        raise InvalidField("end_offset", f"expected 0 or more; got {request.end_offset}")
    if kind is None:
        return ByteSpan(request.start_offset, request.end_offset)
    if request.start_offset or request.end_offset:
        raise InvalidField(kind, "expected a range of bytes, or of lines, or the last lines; got two of them")
    if kind == "last_lines":
        return LastLines(decode_last_lines(request.last_lines))
    return _decode_lines(request.lines)


def _decode_lines(lines: messages.LineRange) -> LineSpan:
    first = lines.first or 1
    if first < 1:
        raise InvalidField("lines.first", f"lines are counted from 1; got {lines.first}")
    if lines.last and not first <= lines.last < _MOST_INT64:
        raise InvalidField("lines.last", f"expected the last line, {first} or more, or 0 for the end; got {lines.last}")
    return LineSpan(first, lines.last)


def decode_last_lines(count: int) -> int:
    """Takes how many lines before the end are meant; raises InvalidField on less than 1."""
    if count < 1:
        raise InvalidField("last_lines", f"expected 1 or more; got {count}")
    return count


def encode_slice(text: TextSlice) -> messages.ReadLogResponse:
    """Makes the message of consecutive bytes."""
    return messages.ReadLogResponse(offset=text.offset, data=text.data, line=text.line, times=_encode_marks(text.marks))


def _encode_marks(marks: Sequence[Mark]) -> Sequence[messages.LogTime]:
    return [
        messages.LogTime(
            end_offset=mark.end_offset,
            write_time=encode_time(mark.write_time),
            receive_time=encode_time(mark.receive_time),
        )
        for mark in marks
    ]


def encode_time(time: datetime) -> Timestamp:
    """A time as protobuf says it."""
    seconds, microseconds = divmod(to_microseconds(time), 1_000_000)
    return Timestamp(seconds=seconds, nanos=microseconds * 1_000)


def decode_tail(request: messages.TailLogRequest, run: RunName, path: str) -> TailBegin:
    """Takes where a tail begins; raises InvalidField or InvalidCursor if that cannot be."""
    if request.start not in messages.TailStart.values():
        raise InvalidField("start", f"expected a value of TailStart; got {request.start}")
    if request.last_lines and request.start:
        raise InvalidField("last_lines", "expected `start` or `last_lines`; got both")
    if request.cursor:
        return TailBegin(*read_cursor(request.cursor, run, path))
    if request.last_lines:
        return TailBegin(last_lines=decode_last_lines(request.last_lines))
    return TailBegin(from_now=request.start == messages.TAIL_START_NOW)


def encode_tail(message: TailMessage, run: RunName, path: str, *, with_times: bool) -> messages.TailLogResponse:
    """Makes the message of a tail."""
    return messages.TailLogResponse(
        offset=message.text.offset,
        data=message.text.data,
        cursor=cursor(run, path, message.path, message.text.end_offset),
        ended=_ENDS[message.ended],
        times=_encode_marks(message.text.marks) if with_times else (),
        path=message.path,
    )


def encode_opened(durable: int, limits: AppendLimits) -> messages.WriteLogResponse:
    """Makes the message that answers `open`."""
    return messages.WriteLogResponse(
        opened=messages.LogOpened(
            durable_offset=durable,
            max_batch_bytes=limits.max_batch_bytes,
            max_in_flight_bytes=limits.max_in_flight_bytes,
        )
    )


def encode_acknowledged(durable: int) -> messages.WriteLogResponse:
    """Makes the message that acknowledges."""
    return messages.WriteLogResponse(acknowledged=messages.LogAcknowledged(durable_offset=durable))


def encode_notice(notice: Notice) -> messages.WriteLogResponse:
    """Makes the message that carries a notice."""
    return messages.WriteLogResponse(notice=messages.LogNotice(kind=_NOTICES[notice]))
