"""Finds the lines of one file that match, in text that comes piece by piece."""

from collections import deque
from collections.abc import Iterator, Sequence

from runstream_server.logs.search.model import Line, Match
from runstream_server.logs.search.patterns import Pattern

MOST_LINE_BYTES = 16 * 1024 * 1024
_MOST_RANGES = 100
_MOST_PLACES = 1_000
"""Places in a line that are looked at, those without a byte among them, of which each byte of a line may have one."""

_QUICK_BYTES = 64 * 1024

_TOLD_BYTES = 4_096
_TOLD_BYTES_AROUND = 1_024
_TOLD_BEFORE_PLACE = 512


class LineSearch:
    """Searches one file. What is fed must be taken to its end before more is fed. Not for the event loop."""

    def __init__(
        self, pattern: Pattern, before: int, after: int, *, offset: int, line: int, search_offset: int
    ) -> None:
        """What is fed begins at `offset`, with a line of this number; it is searched from `search_offset` on."""
        self._pattern = pattern
        self._before = before
        self._after = after
        self._rest = b""
        self._offset = offset
        self._line = line
        self._search_offset = search_offset
        self._previous: deque[Line] = deque(maxlen=before)
        self._waiting: deque[Match] = deque()

    @property
    def place(self) -> tuple[int, int]:
        """The offset and number of the first line that has to be searched again, should this search break off."""
        if self._waiting:
            return self._waiting[0].line.offset, self._waiting[0].line.number
        return self._offset, self._line

    def feed(self, parts: Sequence[bytes]) -> Iterator[Match]:
        """Takes in the next bytes; yields the matches that are complete with them, in order."""
        *whole, last = (self._rest, *parts)
        end = last.rfind(b"\n") + 1
        if end:
            self._rest = last[end:]
            return self._search(b"".join([*whole, last[:end]]))
        text = b"".join([*whole, last])  # a line that is longer than a part
        end = text.rfind(b"\n") + 1 or (len(text) if len(text) >= MOST_LINE_BYTES else 0)
        self._rest = text[end:]
        return self._search(text[:end])

    def pass_over(self, parts: Sequence[bytes], line_feeds: int) -> bool:
        """Takes in the next bytes, of which the caller knows that no line matches that begins and ends in them.

        Returns whether it did; else they have to be fed: lines around matches may be needed, or there is a line that
        began before and may match. Quick enough for the event loop.
        """
        first, last = parts[0], parts[-1]
        head, end = first.find(b"\n") + 1, last.rfind(b"\n") + 1
        start = _start_of_lines(last, end, self._before)
        if self._waiting or not head or start is None or len(self._rest) + head > _QUICK_BYTES:
            return False
        if self._rest and self._pattern.occurs(self._rest + first[:head]):
            return False
        self._offset += len(self._rest) + sum(map(len, parts)) - (len(last) - end)
        self._line += line_feeds
        self._rest = last[end:]
        if self._before:
            text = last[start:end]
            region = _Region(text, self._offset - len(text), self._line - text.count(b"\n"))
            self._previous.extend(region.lines_before(self._offset, self._before))
        return True

    def close(self) -> Iterator[Match]:
        """Says that nothing more comes; yields what is left."""
        text, self._rest = self._rest, b""
        yield from self._search(text)
        yield from self._waiting
        self._waiting.clear()

    def _search(self, text: bytes) -> Iterator[Match]:
        if not text:
            return
        region = _Region(text, self._offset, self._line)
        yield from self._completed(region)
        for match in self._matches(region):
            match.after.extend(region.lines_after(match.line.end_offset + 1, self._after))
            if self._waiting or len(match.after) < self._after:
                self._waiting.append(match)
            else:
                yield match
        if self._before:
            self._previous.extend(region.lines_before(region.end_offset, self._before))
        self._offset, self._line = region.end_offset, region.line_at(region.end_offset)

    def _completed(self, region: "_Region") -> Iterator[Match]:
        """Gives the matches that wait for lines after them those that the region begins with."""
        following = region.lines_after(region.offset, self._after) if self._waiting else []
        for match in self._waiting:
            match.after.extend(following[: self._after - len(match.after)])
        while self._waiting and len(self._waiting[0].after) == self._after:
            yield self._waiting.popleft()

    def _matches(self, region: "_Region") -> Iterator[Match]:
        text, offset = region.text, region.offset
        if self._search_offset >= region.end_offset:
            return
        span = self._pattern.find(text, max(self._search_offset - offset, 0))
        while span is not None and not region.is_behind_all_lines(span[0]):
            start, end = region.line_around(span)
            ranges, following = self._ranges(text, span, end)
            number = region.line_at(offset + start)
            line = region.line(number, start, end, ranges[0][0] if ranges else start, _TOLD_BYTES)
            before = region.lines_before(offset + start, self._before)
            if len(before) < self._before:
                before = [*list(self._previous)[len(before) - self._before :], *before]
            places = [(offset + first, offset + last) for first, last in ranges]
            yield Match(line, places, before, is_ended=end < len(text))
            span = following

    def _ranges(
        self, text: bytes, span: tuple[int, int], line_end: int
    ) -> tuple[list[tuple[int, int]], tuple[int, int] | None]:
        """The places in the line of the first one, and the first place in a later line."""
        ranges: list[tuple[int, int]] = []
        found: tuple[int, int] | None = span
        for _ in range(_MOST_PLACES):
            if found is None or found[0] > line_end:
                return ranges, found
            if found[1] > found[0]:
                ranges.append(found)
            if len(ranges) == _MOST_RANGES:
                break
            found = self._next(text, max(found[1], found[0] + 1))
        return ranges, self._next(text, line_end + 1)

    def _next(self, text: bytes, start: int) -> tuple[int, int] | None:
        return self._pattern.find(text, start) if start <= len(text) else None


def _start_of_lines(text: bytes, end: int, count: int) -> int | None:
    """Where the last lines begin of those that end before `end`; None if the text may lack the beginning of one."""
    start = end
    for _ in range(count):
        start = text.rfind(b"\n", 0, max(start - 1, 0)) + 1
    return start or None


class _Region:
    """Whole lines of a file."""

    def __init__(self, text: bytes, offset: int, line: int) -> None:
        self.text = text
        self.offset = offset
        self._counted = (0, line)

    @property
    def end_offset(self) -> int:
        """The offset in the file after the last byte."""
        return self.offset + len(self.text)

    def line_at(self, offset: int) -> int:
        """The number of the line with the byte at an offset; counts on from the offset asked for before."""
        place, line = self._counted
        if offset - self.offset < place:
            return line - self.text.count(b"\n", offset - self.offset, place)
        self._counted = (offset - self.offset, line + self.text.count(b"\n", place, offset - self.offset))
        return self._counted[1]

    def is_behind_all_lines(self, place: int) -> bool:
        """Whether a place is after the last line feed, and no line."""
        return place >= len(self.text) and self.text.endswith(b"\n")

    def line_around(self, span: tuple[int, int]) -> tuple[int, int]:
        """Where the line of a place starts and ends."""
        start = self.text.rfind(b"\n", 0, span[0]) + 1
        end = self.text.find(b"\n", span[1])
        return start, end if end >= 0 else len(self.text)

    def line(self, number: int, start: int, end: int, place: int, most_bytes: int) -> Line:
        """The line between two places, told so that it shows the third one."""
        shown = start if place + _TOLD_BEFORE_PLACE <= start + most_bytes else place - _TOLD_BEFORE_PLACE
        data = self.text[shown : min(end, shown + most_bytes)]
        return Line(number, self.offset + start, end - start, self.offset + shown, data)

    def lines_before(self, offset: int, count: int) -> list[Line]:
        """Up to `count` lines before the one that begins at an offset."""
        lines: deque[Line] = deque()
        end = offset - self.offset
        number = self.line_at(offset) if end and count else 0
        if end and not self.text.endswith(b"\n", 0, end):
            end, number = end + 1, number + 1  # the region ends within a line
        while len(lines) < count and end > 0:
            start = self.text.rfind(b"\n", 0, end - 1) + 1
            number -= 1
            lines.appendleft(self.line(number, start, end - 1, start, _TOLD_BYTES_AROUND))
            end = start
        return list(lines)

    def lines_after(self, offset: int, count: int) -> list[Line]:
        """Up to `count` lines from the one on that begins at an offset."""
        lines: list[Line] = []
        start = offset - self.offset
        number = self.line_at(offset) if start < len(self.text) and count else 0
        while len(lines) < count and start < len(self.text):
            end = self.text.find(b"\n", start)
            end = end if end >= 0 else len(self.text)
            lines.append(self.line(number + len(lines), start, end, start, _TOLD_BYTES_AROUND))
            start = end + 1
        return lines
