"""Times as microseconds since the Unix epoch and back, exactly."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(time: datetime) -> int:
    """A time with a zone as microseconds."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The time that is so many microseconds after the epoch."""
    return _EPOCH + timedelta(microseconds=microseconds)
