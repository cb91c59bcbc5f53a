"""Shows found lines to people as they are found: under the file they are in, with what matched marked."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from runstream._cli.documents import last_part
from runstream._cli.tables import DIM, to_text
from runstream.api.logs.v1.log_service_pb2 import LogLine, LogMatch, TextRange

MATCHED = "bold red"


class MatchPrinter:
    """Prints matches in the order in which they come; lines that several of them have are printed once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._file = ("", "")
        self._last = 0
        self._coming: list[LogLine] = []
        """The lines after the last match: one of them may be the next match."""

    def add(self, match: LogMatch) -> None:
        """Prints a match as far as it is known what follows it."""
        if (match.run, match.path) != self._file:
            self.finish()
            self._begin(match)
        self._print_context(line for line in self._coming if line.number < match.line.number)
        self._print_context(match.before)
        self._print_line(match.line, ":", match.ranges)
        self._coming = list(match.after)

    def finish(self) -> None:
        """Prints what is left."""
        self._print_context(self._coming)
        self._coming = []

    def _begin(self, match: LogMatch) -> None:
        if self._last:
            self._console.print()
        self._file, self._last = (match.run, match.path), 0
        self._console.print(to_text(f"{last_part(match.run)} {match.path}"), style="bold", soft_wrap=True)

    def _print_context(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            if line.number > self._last:
                self._print_line(line, "-", ())

    def _print_line(self, line: LogLine, mark: str, ranges: Iterable[TextRange]) -> None:
        if self._last and line.number > self._last + 1:
            self._console.print("--", style=DIM)
        self._last = line.number
        number = Text(f"{line.number}{mark}", style=DIM)
        self._console.print(number + _marked(line, ranges), soft_wrap=True)


def _marked(line: LogLine, ranges: Iterable[TextRange]) -> Text:
    """The text of a line, or the part of it there is, with dots where something is left out."""
    start, end = line.data_offset, line.data_offset + len(line.data)
    text, at = Text("..." if start > line.offset else ""), start
    for found in ranges:
        first, last = min(max(found.start_offset, at), end), min(max(found.end_offset, at), end)
        text += _plain(line, at, first)
        text.append_text(Text(_plain(line, first, last).plain, style=MATCHED))
        at = last
    text += _plain(line, at, end)
    return text + Text("..." if end < line.offset + line.size_bytes else "")


def _plain(line: LogLine, start: int, end: int) -> Text:
    return to_text(line.data[start - line.data_offset : end - line.data_offset].decode("utf-8", "replace"))
