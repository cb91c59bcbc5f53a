"""Times and durations between Python and protobuf, to the microsecond."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


def encode_time(time: datetime) -> Timestamp:
    """A time as protobuf says it."""
    since = time - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def encode_optional_time(time: datetime | None) -> Timestamp | None:
    """A time as protobuf says it; None for none, which leaves a field absent."""
    return None if time is None else encode_time(time)


def encode_duration(duration: timedelta | None) -> Duration | None:
    """A duration as protobuf says it; None for none."""
    if duration is None:
        return None
    return Duration(seconds=duration.days * 86_400 + duration.seconds, nanos=duration.microseconds * 1_000)


def decode_duration(duration: Duration) -> timedelta:
    """A duration from protobuf; one beyond what Python can say becomes the longest that it can."""
    try:
        return timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1_000)
    except OverflowError:
        return timedelta.max if duration.seconds > 0 else timedelta.min


def decode_time(time: Timestamp) -> datetime:
    """A time from protobuf; one beyond what Python can say becomes the last, or the first, that it can."""
    try:
        return _EPOCH + timedelta(seconds=time.seconds, microseconds=time.nanos // 1_000)
    except OverflowError:
        return _LAST if time.seconds > 0 else _FIRST
