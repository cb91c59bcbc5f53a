"""Between messages and the words of logs."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server.appendstreams import AppendLimits, Notice
from runstream_server.errors import InvalidField
from runstream_server.logs.cursors import cursor
from runstream_server.logs.model import LogFile, LogText, TailEnd, TailMessage, TextSlice
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


def encode_slice(text: TextSlice) -> messages.ReadLogResponse:
    """Makes the message of consecutive bytes."""
    return messages.ReadLogResponse(offset=text.offset, data=text.data)


def encode_tail(message: TailMessage, run: RunName, path: str) -> messages.TailLogResponse:
    """Makes the message of a tail."""
    return messages.TailLogResponse(
        offset=message.text.offset,
        data=message.text.data,
        cursor=cursor(run, path, message.text.end_offset),
        ended=_ENDS[message.ended],
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
