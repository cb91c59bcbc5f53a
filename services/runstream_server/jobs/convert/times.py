"""Times and durations between Python and protobuf."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from runstream_server.jobs.limits import Checks

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_time(time: datetime | None) -> Timestamp | None:
    """A time as protobuf says it; None for none, which leaves a field absent."""
    if time is None:
        return None
    encoded = Timestamp()
    encoded.FromDatetime(time)
    return encoded


def encode_duration(duration: timedelta) -> Duration:
    """A duration as protobuf says it."""
    encoded = Duration()
    encoded.FromTimedelta(duration)
    return encoded


def decode_duration(duration: Duration) -> timedelta:
    """A duration from protobuf; one beyond what Python can say becomes the longest, or the shortest, that it can."""
    try:
        return timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1_000)
    except OverflowError:
        return timedelta.max if duration.seconds > 0 else timedelta.min


def decode_told_time(checks: Checks, message: Message, field: str) -> datetime | None:
    """The time that a caller tells in a field; None if it tells none."""
    if not message.HasField(field):
        return None
    told = getattr(message, field)
    try:
        time = _EPOCH + timedelta(seconds=told.seconds, microseconds=told.nanos // 1_000)
    except OverflowError:
        time = None
    if time is None or time < _EPOCH:
        checks.fail(field, "expected a time from 1970 to 9999")
        return None
    return time
