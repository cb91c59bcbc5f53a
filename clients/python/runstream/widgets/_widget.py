"""The widget itself. It imports anywidget, which comes with `runstream[widgets]`."""

import re
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import traitlets
from anywidget import AnyWidget

from runstream._channel import loop
from runstream.core._lasting import stop_reason
from runstream.widgets._picture import FAILED, LINK, Section, link_section
from runstream.widgets._remembered import RememberedData
from runstream.widgets._run_data import RunData

STATIC: Final = Path(__file__).with_name("static")
MODULES: Final = ("format.js", "chart.js", "run_details.js")
IMPORT: Final = re.compile(r'^import [^;]* from "\./[a-z_]+\.js";\n', re.MULTILINE)


def script() -> str:
    """The modules of the page as one: each begins with imports of earlier ones, which then need none."""
    return "\n".join(IMPORT.sub("", (STATIC / name).read_text("utf-8")) for name in MODULES)


def has_failed(work: "Future[None]") -> bool:
    """Whether some work was ended by an error."""
    return work.done() and not work.cancelled() and work.exception() is not None


class RunWidget(AnyWidget):
    """What the page knows is what the notebook keeps: opened again without a kernel, it shows the last state.

    Data is gathered on the background loop, so that it comes while a cell is busy. It stops when no page shows the
    widget any more, and goes on when one does again; after an error, too, which is shown.
    """

    _esm = script()
    _css = (STATIC / "run_details.css").read_text("utf-8")

    record = traitlets.Dict().tag(sync=True)
    charts = traitlets.Dict().tag(sync=True)
    log_tail = traitlets.Dict().tag(sync=True)
    child_runs = traitlets.Dict().tag(sync=True)
    link = traitlets.Dict().tag(sync=True)

    def __init__(self, make_data: Callable[[], RunData | RememberedData]) -> None:
        super().__init__()
        self._make_data = make_data
        self._views: set[str] = set()
        self._gathering: Future[None] | None = None
        self.data: RunData | RememberedData | None = None
        self.on_msg(self._hear)
        self._start()

    def close(self) -> None:
        """Ends the updates and removes the widget."""
        self._stop()
        super().close()

    def _start(self) -> None:
        if self._gathering is None or has_failed(self._gathering):
            self._gathering = loop.background_loop().start(self._gather())

    def _stop(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    async def _gather(self) -> None:
        try:
            self.data = self._make_data()
            await self.data.follow(self._put)
        except Exception as error:
            self._put({LINK: link_section(FAILED, stop_reason(error))})
            raise

    def _put(self, changes: dict[str, Section]) -> None:
        for name, section in changes.items():
            setattr(self, name, section)

    def _hear(self, widget: Any, message: Any, buffers: Any) -> None:
        kind, view = message.get("kind"), str(message.get("view", ""))
        if kind == "shown":
            self._views.add(view)
            self._start()
        elif kind == "hidden":
            self._views.discard(view)
            if not self._views:
                self._stop()
        elif kind == "log" and self.data is not None:
            loop.background_loop().start(self.data.choose_log(str(message.get("path", "")), self._put))
