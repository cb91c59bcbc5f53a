"""Records what a program prints while it is within the `with` statement of a run."""

from typing import Generic

from runstream.core._capture import OutputCapture
from runstream.core._forms import E, R, W
from runstream.core._run.lifecycle import LifecycleCalls


class CaptureCalls(LifecycleCalls[W, E, R], Generic[W, E, R]):
    """Captures the output of this process."""

    _capture: OutputCapture | None = None

    def _enter(self) -> None:
        self._capture = OutputCapture()
        self._capture.start(self._spool())

    def _leave(self) -> None:
        if self._capture is not None:
            self._capture.stop()

    def _left(self) -> None:
        if self._capture is not None and self._is_stored:
            self._capture.clean()
        self._capture = None
