"""The words of searching."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from runstream_server.logs.model import LogFile, Mark
from runstream_server.logs.search.patterns import Pattern
from runstream_server.names import RunName


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or the part of it that is told."""

    number: int
    """Counted from 1."""

    offset: int
    size_bytes: int
    data_offset: int
    data: bytes

    @property
    def end_offset(self) -> int:
        """Where its line feed stands, or the end of the file."""
        return self.offset + self.size_bytes


@dataclass(slots=True)
class Match:
    """A line in which the pattern was found, and those around it."""

    line: Line
    ranges: Sequence[tuple[int, int]]
    """The places in the file."""

    before: Sequence[Line]

    is_ended: bool
    """Whether the line feed of the line was found; else there may come more of it."""

    after: list[Line] = field(default_factory=list)

    @property
    def next_place(self) -> tuple[int, int]:
        """The offset and number of the line that is to be searched next."""
        return self.line.end_offset + self.is_ended, self.line.number + self.is_ended

    @property
    def first_offset(self) -> int:
        """Where the first of its lines begins."""
        return self.before[0].offset if self.before else self.line.offset

    @property
    def last_offset(self) -> int:
        """Where the last of its lines ends."""
        return self.after[-1].end_offset if self.after else self.line.end_offset

    @property
    def size_bytes(self) -> int:
        """How much of a message it takes, about."""
        lines = 1 + len(self.before) + len(self.after)
        text = len(self.line.data) + sum(len(line.data) for line in (*self.before, *self.after))
        return text + 60 * lines + 20 * len(self.ranges)


@dataclass(frozen=True, slots=True)
class FoundMatches:
    """Matches of one file."""

    file: LogFile
    matches: Sequence[Match]

    marks: Sequence[Mark]
    """When their lines, and those around them, were written."""


@dataclass(frozen=True, slots=True)
class RunPlace:
    """A run in the order in which runs are searched."""

    page: str
    """The token of the page of the listing that has it; empty for the first one, and where runs are named."""

    index: int
    """On the page."""

    run: str


@dataclass(frozen=True, slots=True)
class SearchPlace:
    """Where a search goes on: with a line of a file."""

    run: RunPlace
    path: str
    offset: int
    line: int


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is searched for, and where."""

    workspace: str
    runs: Sequence[RunName]
    filter: str
    paths: Sequence[str]
    pattern: Pattern
    lines_before: int
    lines_after: int
    max_matches: int
    place: SearchPlace | None


class SearchEnd(Enum):
    """Why a search ends."""

    COMPLETE = "complete"
    MATCHES = "matches"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class SearchMessage:
    """What a search tells."""

    found: FoundMatches | None
    place: SearchPlace | None
    """Where to go on after it; None: at the beginning."""

    searched_bytes: int
    ended: SearchEnd | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs to search."""

    token: str
    runs: Sequence[RunName]
    next_token: str

    def places(self) -> Mapping[RunName, RunPlace]:
        """The place of each."""
        return {run: RunPlace(self.token, index, run.run) for index, run in enumerate(self.runs)}
