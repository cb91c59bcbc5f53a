"""The view of a run that a person looks at: what it writes, and below it a line that says how it stands."""

import codecs
import time
from typing import TYPE_CHECKING, Any, Self

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from runstream._cli.output import console
from runstream._cli.run_tables import styled
from runstream._cli.tables import DIM
from runstream.core._run.waiting import Piece

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType

    from runstream.core import Run

PER_SECOND = 4


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
            self._live.console.print(_of_terminal(self._line), end="")

    def __call__(self, piece: Piece) -> None:
        """Prints the lines that are complete; what a progress bar draws over itself is drawn over itself."""
        text = self._line + (piece if isinstance(piece, str) else self._decoder.decode(piece))
        complete, end, rest = text.rpartition("\n")
        self._line = _last_drawn(rest)
        if end:
            self._live.console.print(_of_terminal(complete))

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

        return Group(_of_terminal(self._line), self._spinner)


def _last_drawn(line: str) -> str:
    """What is seen of a line: a progress bar that never ends its line does not grow."""
    last = line.rstrip("\r").rpartition("\r")[2]
    return f"{last}\r" if line.endswith("\r") else last


def _of_terminal(text: str) -> Text:
    """A text with its colours, each line as it looks after all that was drawn over it."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return Text.from_ansi("\n".join(lines), no_wrap=False)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
