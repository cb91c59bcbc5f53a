"""Times and durations as people read them, in few characters; the exact ones are in the documents."""

from datetime import UTC, datetime, timedelta

MINUTE, HOUR, DAY = 60, 3600, 86_400


def parse(text: str | None) -> datetime | None:
    """The time of a document; None when it has none."""
    return datetime.fromisoformat(text) if text else None


def ago(text: str | None, now: datetime | None = None) -> str:
    """How long ago a time of a document is: `5m ago`; its local date when that is more than a week."""
    if (then := parse(text)) is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    if seconds < 1:
        return "now"
    if seconds < MINUTE:
        return f"{int(seconds)}s ago"
    if seconds < HOUR:
        return f"{int(seconds / MINUTE)}m ago"
    if seconds < DAY:
        return f"{int(seconds / HOUR)}h ago"
    if seconds < 7 * DAY:
        return f"{int(seconds / DAY)}d ago"
    return then.astimezone().strftime("%Y-%m-%d")


def local(text: str | None, now: datetime | None = None) -> str:
    """A time of a document in the time zone of this machine, and how long ago it is."""
    if (then := parse(text)) is None:
        return ""
    exact = then.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    relative = ago(text, now)
    return exact if relative in exact else f"{exact} ({relative})"


def local_time(text: str) -> str:
    """A time of a document in the time zone of this machine, to the millisecond."""
    return datetime.fromisoformat(text).astimezone().isoformat(sep=" ", timespec="milliseconds")[:-6]


def took(start: str | None, end: str | None, now: datetime | None = None) -> str:
    """How long something took, or has taken until now if it has not ended."""
    if (begun := parse(start)) is None:
        return ""
    return duration((parse(end) or now or datetime.now(UTC)) - begun)


def duration(span: timedelta) -> str:
    """A duration in at most two units: `1.2s`, `12s`, `3m 05s`, `1h 04m`, `2d 07h`."""
    seconds = max(span.total_seconds(), 0)
    whole = int(seconds)
    if seconds < 10:
        return f"{seconds:.1f}s"
    if whole < MINUTE:
        return f"{whole}s"
    if whole < HOUR:
        return f"{whole // MINUTE}m {whole % MINUTE:02}s"
    if whole < DAY:
        return f"{whole // HOUR}h {whole % HOUR // MINUTE:02}m"
    return f"{whole // DAY}d {whole % DAY // HOUR:02}h"


def size(count: int) -> str:
    """A number of bytes in the largest unit that keeps it at 1 or more."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
