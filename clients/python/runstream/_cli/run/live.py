"""The view of a run that a person looks at: what it writes, and below it a line that says how it stands."""

import codecs
import re
import time
from typing import TYPE_CHECKING, Any, Final, Self

from rich.live import Live
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from runstream._cli.output import console
from runstream._cli.run_tables import styled
from runstream._cli.tables import DIM
from runstream.core._run.waiting import Piece

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from runstream.core import Run

PER_SECOND = 4
MAX_OPEN: Final = 65_536
"""Characters of a line that is not complete; a longer one is broken."""
SHOWN_OPEN: Final = 1_000
"""Of them, so many of the last are shown."""
COLOURS: Final = r"\x1b\[[0-9;:]*m"
CONTROL: Final = re.compile(
    rf"(?!{COLOURS})\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()*+#%].|\x1b(?!\[)."
    r"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]"
)
"""What would move the cursor, change the title of the window or ring: everything but colours."""


class LiveView:
    """Draws over and over again, on stdout, while the context is open."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._begun = time.monotonic()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._spinner = Spinner("dots")
        self._line = ""
        """What came of a line that is not complete."""
        self._live: Any = Live(get_renderable=self._picture, console=console(), refresh_per_second=PER_SECOND)
        self._live.transient = True

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self._live.stop()
        if self._line:
            self._print(self._line, end="")

    def __call__(self, piece: Piece) -> None:
        """Prints the lines that are complete; what a progress bar draws over itself is drawn over itself."""
        text = self._line + (piece if isinstance(piece, str) else self._decoder.decode(piece))
        complete, end, rest = text.rpartition("\n")
        self._line = _last_drawn(rest)
        if end:
            self._print(complete)
        if len(self._line) > MAX_OPEN:
            self._print(self._line)
            self._line = ""

    def _print(self, text: str, end: str = "\n") -> None:
        self._live.console.print(Printed(text, end), soft_wrap=True)

    def _picture(self) -> "RenderableType":
        status = self._run._record.status
        line = Text.assemble(
            (self._run.id, "bold"),
            "  ",
            styled(self._run.status),
            (f"  {_duration(time.monotonic() - self._begun)}", DIM),
            ("  Ctrl-C detaches", DIM) if status else "",
        )
        self._spinner.update(text=line)
        if not self._line:
            return self._spinner
        from rich.console import Group

        return Group(Text.from_ansi(_as_seen(self._line)[-SHOWN_OPEN:]), self._spinner)


class Printed:
    """A text as the program wrote it, with its colours: the terminal breaks lines, which is much quicker than Rich."""

    def __init__(self, text: str, end: str) -> None:
        self._text, self._end = text, end

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """The text, whatever it consists of; no colour goes on behind it."""
        text, end = _as_seen(self._text), self._end
        if not console.color_system:
            text = re.sub(COLOURS, "", text)
        elif "\x1b" in text:
            end = f"\x1b[0m{end}"
        yield Segment(f"{text}{end}")


def _last_drawn(line: str) -> str:
    """What is seen of a line: a progress bar that never ends its line does not grow."""
    last = line.rstrip("\r").rpartition("\r")[2]
    return f"{last}\r" if line.endswith("\r") else last


def _as_seen(text: str) -> str:
    """A text without what disturbs the terminal, each line as it looks after all that was drawn over it."""
    text = CONTROL.sub("", text)
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
