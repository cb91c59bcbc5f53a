"""Shows how far a transfer is, on stderr while that is a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runstream._cli.settings import Settings
from runstream._transfer.progress import Meter, Silent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

INTERRUPTED = "Interrupted. The same command goes on with what was not done yet."


@contextmanager
def metered(settings: Settings, title: str) -> Iterator[Meter]:
    """A meter that draws a bar, and draws nothing for programs and who wants to see errors only."""
    if settings.only_show_errors or not sys.stderr.isatty():
        yield Silent()
        return
    with _progress() as progress:
        yield Bar(progress, progress.add_task(title, total=0))


class Bar:
    """A bar that grows."""

    def __init__(self, progress: "Progress", task: "TaskID") -> None:
        self._progress = progress
        self._task = task
        self._expected = 0

    def expect(self, size: int) -> None:
        """Takes note of so many more bytes."""
        self._expected += size
        self._progress.update(self._task, total=self._expected)

    def advance(self, size: int) -> None:
        """Draws so many bytes more."""
        self._progress.advance(self._task, size)


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    screen = Console(stderr=True)
    return Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=screen, transient=True)
