"""Times before the lines of a log."""

from collections.abc import Iterator, Sequence

from runstream.api.logs.v1.log_service_pb2 import LogTime, ReadLogResponse, TailLogResponse


class Stamper:
    """Puts before each line when its first byte was written."""

    def __init__(self) -> None:
        self._is_at_start = True

    def stamp(self, response: ReadLogResponse | TailLogResponse) -> bytes:
        """The bytes of a response, with a time wherever a line begins in them."""
        return b"".join(self._pieces(response.offset, response.data, response.times))

    def _pieces(self, offset: int, data: bytes, times: Sequence[LogTime]) -> Iterator[bytes]:
        known = iter(times)
        time = next(known, None)
        for line in data.splitlines(keepends=True) if b"\r" not in data else _lines(data):
            while time is not None and time.end_offset <= offset:
                time = next(known, None)
            if self._is_at_start:
                yield _text(time)
            yield line
            offset += len(line)
            self._is_at_start = line.endswith(b"\n")


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end


def _text(time: LogTime | None) -> bytes:
    if time is None:
        return b"-" * 23 + b"  "
    return time.write_time.ToDatetime().isoformat(timespec="milliseconds").encode() + b"Z "
